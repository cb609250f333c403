# dtr_module(<folder> [DEPS folder...] [LIBS target...] [PRIVATE_LIBS target...] [TEST_LIBS target...])
#
# Makes the static library dtr_<folder> from every .cc of src/<folder>, and the test program <folder>_test from every
# *_test.cc beside them, so that a test nobody registered cannot exist. A folder without sources becomes an
# interface library.
function(dtr_module folder)
    cmake_parse_arguments(ARG "" "" "DEPS;LIBS;PRIVATE_LIBS;TEST_LIBS" ${ARGN})
    string(REPLACE "/" "_" name ${folder})
    set(dir ${CMAKE_SOURCE_DIR}/src/${folder})
    if(folder STREQUAL "cli" OR folder STREQUAL "api")
        file(GLOB_RECURSE all CONFIGURE_DEPENDS ${dir}/*.cc)
    else()
        file(GLOB all CONFIGURE_DEPENDS ${dir}/*.cc)
    endif()
    set(sources ${all})
    set(tests ${all})
    list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
    list(FILTER tests INCLUDE REGEX "_test\\.cc$")
    set(deps ${ARG_DEPS})
    list(TRANSFORM deps REPLACE "/" "_")
    list(TRANSFORM deps PREPEND dtr_)
    if(sources)
        add_library(dtr_${name} STATIC ${sources})
        target_include_directories(dtr_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
        target_link_libraries(dtr_${name} PUBLIC ${deps} ${ARG_LIBS} PRIVATE ${ARG_PRIVATE_LIBS})
    else()
        add_library(dtr_${name} INTERFACE)
        target_include_directories(dtr_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
        target_link_libraries(dtr_${name} INTERFACE ${deps} ${ARG_LIBS})
    endif()
    if(tests)
        dtr_test(${name}_test SOURCES ${tests} LIBS dtr_${name} ${ARG_PRIVATE_LIBS} ${ARG_TEST_LIBS})
    endif()
endfunction()

# Where a run costs less than optimising does: templates of CLI11, Boost.JSON and gmock are most of the code.
function(dtr_compile_quickly target)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Debug>:-O0>)
endfunction()

add_custom_target(tests)  # all test programs

# dtr_test(<program> SOURCES file... LIBS target... [TIMEOUT seconds] [SWEEP])
#
# SWEEP: each of its tests takes long, and begins before the others (tools/tests). The preset tsan has only the programs of
# DTR_CONCURRENT: what runs on one thread alone has nothing to show there.
function(dtr_test program)
    cmake_parse_arguments(ARG "SWEEP" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
    if(DTR_SANITIZE STREQUAL "thread" AND NOT program IN_LIST DTR_CONCURRENT)
        return()
    endif()
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 300)
    endif()
    add_executable(${program} ${ARG_SOURCES})
    target_include_directories(${program} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${program} PRIVATE ${ARG_LIBS} dtr_test_support GTest::gmock GTest::gtest_main)
    dtr_compile_quickly(${program})
    gtest_discover_tests(${program} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${ARG_TIMEOUT})
    add_dependencies(tests ${program})
    set_property(GLOBAL APPEND PROPERTY DTR_TESTS "$<IF:$<BOOL:${ARG_SWEEP}>,sweep,unit> $<TARGET_FILE:${program}>")
endfunction()

# dtr_load_later(<module> <NAME> <library>) has the module load the shared library when it needs it, by DTR_<NAME>_SONAME,
# instead of linking it (sys/shared_library.h).
function(dtr_load_later folder name library)
    execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${library} OUTPUT_VARIABLE headers COMMAND_ERROR_IS_FATAL ANY)
    if(NOT headers MATCHES "SONAME +([^ \n]+)")
        message(FATAL_ERROR "${library} has no SONAME")
    endif()
    string(REPLACE "/" "_" target ${folder})
    target_compile_definitions(dtr_${target} PRIVATE DTR_${name}_SONAME="${CMAKE_MATCH_1}")
    target_link_libraries(dtr_${target} PUBLIC ${CMAKE_DL_LIBS})
endfunction()

# Writes tests.txt: kind and path of each test program, for tools/tests.
function(dtr_list_tests)
    get_property(tests GLOBAL PROPERTY DTR_TESTS)
    list(JOIN tests "\n" lines)
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/tests.txt CONTENT "${lines}\n")
endfunction()
