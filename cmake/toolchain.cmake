# Compiler-wide settings; the Boost switches live here once, because two objects that disagree about one crash at start.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# No object holds the checkout's path, and ccache sees paths below it as relative: a second checkout finds what the
# first compiled.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
    set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
    add_link_options(-fuse-ld=mold)
endif()

option(DTR_WERROR "Treat warnings as errors" ON)
option(DTR_FUZZ "Add the fuzz entries (clang only)" OFF)
set(DTR_SANITIZE "" CACHE STRING "Value of -fsanitize= for every object, or empty")

add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor)
if(DTR_WERROR)
    add_compile_options(-Werror)
endif()
# Several files of a folder as one (presets release, asan, tsan): each header is then read once for all of them. dev compiles
# each file by itself, and warns of what only concerns one.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
if(CMAKE_UNITY_BUILD)
    add_compile_options(-Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()

if(DTR_SANITIZE)
    add_compile_options(-fsanitize=${DTR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    add_link_options(-fsanitize=${DTR_SANITIZE})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND DTR_SANITIZE MATCHES "undefined")
        add_compile_options(-fno-sanitize=function)  # clang 14 cannot assemble it for coroutines
    endif()
else()
    add_compile_options(-fstack-protector-strong)
    add_compile_definitions($<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
endif()
if(DTR_SANITIZE STREQUAL "thread")
    # ThreadSanitizer cannot see fences; Asio's are a supplement to its locks.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
add_compile_definitions(BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_VISIBILITY BOOST_JSON_NO_LIB)
