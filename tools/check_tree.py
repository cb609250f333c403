#!/usr/bin/env python3
"""Rules of the house that no compiler checks. Prints one line per offence; exits 1 if there is any.

Include arrows point down, services know interfaces and not stores, a vendor's header stays in the folder that wraps
it, coroutines stay in http/, files stay small, files that are compiled as one share no names, nothing lies about, nothing is
allowed that nobody does, the map in ARCHITECTURE.md is the tree. Standard library only.
"""

import fnmatch
import json
import os
import re
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
LINES_MAX = 600
COLUMNS_MAX = 125       # clang-format breaks code at 120; comments it leaves alone
TEST_COLUMNS_MAX = 140  # tables of cases, and of figures

# Folder of src/ -> level. A file includes from lower levels and its own folder only.
LEVELS = {"base": 0, "sys": 1, "oci": 1, "archive": 1, "blob": 2, "meta": 2, "config": 2, "identity": 3, "registry": 3,
          "backup": 3, "cluster": 3, "api": 4, "cli": 5, "mains": 6}
# cluster puts the services of one replica together, so it may name them.
SIDEWAYS = {("cluster", "backup"), ("cluster", "identity"), ("cluster", "registry"), ("registry", "identity")}
HTTP_MAY_INCLUDE = {"base", "sys", "http"}
MAY_INCLUDE_HTTP = {"api", "cli", "mains", "http"}
# Implementations of a store: named by the mains and by tests, by nobody else outside their own folder.
STORES = {"blob/fs", "blob/mem", "meta/sqlite", "config/file", "identity/ldap"}

# Header -> folders that may include it. "main": the composition roots.
VENDORS = [
    (r"sqlite3\.h", {"meta/sqlite"}),
    (r"curl/", {"sys"}),
    (r"boost/(beast|asio)", {"http"}),
    (r"boost/json", {"oci", "archive", "meta", "config", "identity", "backup", "cluster", "api", "cli"}),
    (r"sodium", {"identity", "archive"}),
    (r"cjose/", {"identity"}),
    (r"CLI/", {"cli"}),
    (r"toml", {"cli"}),
    (r"zstd", {"archive"}),
    (r"spdlog/", {"sys"}),
    (r"tl/expected", {"base"}),
    (r"openssl/", {"base", "sys", "archive", "identity", "http"}),
    (r"prometheus/", {"api"}),
    (r"(openldap|ldap|lber)", {"identity/ldap"}),
]
TEST_ONLY = re.compile(r"(gtest|gmock)(/|\.h)")

BANNED_WORDS = [a + b for a, b in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"))]
CODE = (".cc", ".h", ".py", ".cmake", ".sh")
TEXT = CODE + (".md", ".txt", ".toml", ".yml", ".json", ".sql")

# What may lie where: the longest folder that fits decides. "": the top. Empty files may lie nowhere.
PLACES = {
    "": r"(README|ARCHITECTURE|CONTRIBUTING|CHANGELOG)\.md|LICENSE|CMakeLists\.txt|CMakePresets\.json|"
        r"\.clang-format|\.clang-tidy|\.gitignore|\.git",
    ".ci": r"run",
    "bench": r".*\.(cc|h|py)|CMakeLists\.txt|RESULTS\.md|run",
    "changelog": r".*\.md",
    "cmake": r".*\.cmake",
    "docs": r".*\.md",
    "docs/design/models": r".*\.pml",
    "fuzz": r".*\.(cc|h|py)|CMakeLists\.txt",
    "fuzz/corpus": r"[A-Za-z0-9._-]+",
    "src": r".*\.(cc|h)",
    "test": r".*\.(cc|h)|CMakeLists\.txt",
    "test/e2e": r".*\.py|pytest\.ini",
    "test/e2e/node": r".*\.(mjs|json)|\.npmrc",
    "tools": r"[a-z_]+(\.py)?",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
offences = []


def offend(path, line, text):
    offences.append(f"{path}:{line}: {text}" if line else f"{path}: {text}")


def files():
    """All but what .gitignore names, by a name or a pattern of names."""
    ignored = [".git/", *read(".gitignore").split()]
    for folder, names, leaves in os.walk(ROOT):
        here = "" if folder == ROOT else os.path.relpath(folder, ROOT) + "/"
        names[:] = sorted(n for n in names if n + "/" not in ignored and f"/{here}{n}/" not in ignored)
        for leaf in sorted(leaves):
            if not any(fnmatch.fnmatch(leaf, pattern) for pattern in ignored):
                yield here + leaf


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def is_script(path, text):
    return path.startswith(("tools/", ".ci/", "bench/")) and text.startswith("#!")


def without_comments_and_strings(text):
    """Same line count, comments and literals blanked."""
    pattern = re.compile(r'R"\(.*?\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


class Source:
    """Where a C++ file stands: its top folder under src/, its level, and what it is."""

    TEST_FOLDERS = ("test", "bench", "fuzz")

    def __init__(self, path):
        self.path = path
        parts = path.split("/")
        self.test = bool(re.search(r"_test\.(cc|h)$|/(test_[a-z_]+|testing)\.h$", path)) or parts[0] in self.TEST_FOLDERS
        self.main = len(parts) == 2 and parts[0] == "src"
        self.folder = "mains" if self.main else parts[1] if parts[0] == "src" and len(parts) > 2 else None
        self.subfolder = "/".join(parts[1:3]) if parts[0] == "src" and len(parts) > 3 else None

    def homes(self):
        return {self.folder, self.subfolder, "main" if self.main else None}


def check_include(source, number, kind, target):
    top = target.split("/")[0]
    if kind == "<":
        for pattern, homes in VENDORS:
            if re.match(pattern, target) and not source.test and not homes & source.homes():
                offend(source.path, number, f"<{target}> belongs to {', '.join(sorted(homes))}")
        if TEST_ONLY.match(target) and not source.test:
            offend(source.path, number, f"<{target}> outside of a test")
        return
    if top in Source.TEST_FOLDERS:
        if not source.test:
            offend(source.path, number, f'"{target}" outside of a test')
        return
    if not os.path.exists(os.path.join(ROOT, "src", target)):
        if not os.path.exists(os.path.join(ROOT, os.path.dirname(source.path), target)):
            offend(source.path, number, f'"{target}" does not exist under src/')
        elif source.path.startswith("src/"):
            offend(source.path, number, f'"{target}": say "folder/file.h"')
        return
    if source.folder is None:
        return
    if "/" not in target:
        if not source.main:
            offend(source.path, number, f'"{target}" belongs to the mains')
        return
    for store in STORES:
        if target.startswith(store + "/") and not source.test and not source.main and source.subfolder != store:
            offend(source.path, number, f'"{target}" names a store; only the mains do')
    check_arrow(source, number, target, top)


def check_arrow(source, number, target, top):
    here = source.folder
    if top == here:
        return
    if here == "http":
        if top not in HTTP_MAY_INCLUDE:
            offend(source.path, number, f'"{target}": http includes base and sys only')
    elif top == "http":
        if here not in MAY_INCLUDE_HTTP:
            offend(source.path, number, f'"{target}": only api, cli and the mains include http')
    elif here not in LEVELS or top not in LEVELS:
        unknown = here if here not in LEVELS else top
        offend(source.path, number, f'"{target}": {unknown} has no level; give it one in tools/check_tree.py')
    elif LEVELS[top] >= LEVELS[here] and (here, top) not in SIDEWAYS and not source.test:
        offend(source.path, number, f'"{target}": an arrow from {here} ({LEVELS[here]}) to {top} ({LEVELS[top]})')


BY_PROSE = r"\bmessage(\(\))?(\.(find|contains|starts_with|ends_with)\(| *[!=]= *\")"
BARE_BOOL = r"[(,]\s*bool \w+( = (true|false))?\s*[,)]"


def globbed_test_folders():
    return tuple(f"test/{folder}/" for folder in re.findall(r"([a-z_]+)/\*_test\.cc", read("test/CMakeLists.txt")))


def check_cpp(path, text):
    source = Source(path)
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            check_include(source, number, *match.groups())
    code = without_comments_and_strings(text)
    if source.folder != "http" and "co_await" in code:
        offend(path, code[:code.index("co_await")].count("\n") + 1, "co_await outside http/")
    for match in re.finditer(r"co_await\b[^;]*;", code):
        if re.search(r"\w\s*\{|\[[&=\w,\s]*\]\s*[({]", match.group()):
            offend(path, code[:match.start()].count("\n") + 1,
                   "a lambda or braced temporary inside a co_await operand: name it first (g++ 12 destroys it twice)")
    if source.folder is not None and not source.test:
        for match in re.finditer(BY_PROSE, code):
            offend(path, code[:match.start()].count("\n") + 1,
                   "decides by the text of a message: use a code or a field")
        for match in re.finditer(BARE_BOOL, code) if path.endswith(".h") else ():
            offend(path, code[:match.start()].count("\n") + 1,
                   "a bool parameter says nothing at the call: name the choice")
    if path.endswith(".h") and "#pragma once" not in text:
        offend(path, 0, "no #pragma once")
    if path.endswith("_test.cc") and not path.startswith(("src/", *globbed_test_folders())):
        offend(path, 0, "a test where no glob of test/CMakeLists.txt looks")


def check_text(path, text):
    lines = text.splitlines()
    is_code = path.endswith(CODE) or is_script(path, text)
    if is_code and len(lines) > LINES_MAX:
        offend(path, 0, f"{len(lines)} lines; {LINES_MAX} are the most")
    columns = TEST_COLUMNS_MAX if re.search(r"_test\.cc$|^(test|bench)/", path) else COLUMNS_MAX
    for number, line in enumerate(lines, 1):
        if is_code and len(line) > columns:
            offend(path, number, f"{len(line)} columns; {columns} are the most")
        if path != "tools/check_tree.py":
            for word in BANNED_WORDS:
                if re.search(rf"\b{word}\b", line):
                    offend(path, number, f"{word}: do it, or open an issue")
        if line != line.rstrip() and is_code:
            offend(path, number, "space at the end of the line")
        if re.match(r"(<{7}|>{7}|={7})( |$)", line):
            offend(path, number, "a conflict that nobody has resolved")
        if "\t" in line and path.endswith((".cc", ".h", ".py")):
            offend(path, number, "a tab")
    if text and not text.endswith("\n"):
        offend(path, 0, "no line end at the end")


def check_map():
    """Every folder of src/ is in the fenced map of ARCHITECTURE.md, and the other way round."""
    path = "ARCHITECTURE.md"
    if not os.path.exists(os.path.join(ROOT, path)):
        offend(path, 0, "missing: it holds the map of src/")
        return
    named = set()
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", read(path), re.S | re.M):
        named |= set(re.findall(r"\bsrc/([a-z0-9_]+)/", block))
        inside = re.search(r"^src/[^\n]*\n((?:[ \t]+[^\n]*\n)+)", block, re.M)
        if inside:
            indents = [len(m) for m in re.findall(r"^([ \t]+)[a-z0-9_]+/", inside.group(1), re.M)]
            named |= set(re.findall(rf"^[ \t]{{{min(indents, default=1)}}}([a-z0-9_]+)/", inside.group(1), re.M))
    there = {n for n in os.listdir(os.path.join(ROOT, "src"))
             if os.path.isdir(os.path.join(ROOT, "src", n)) and os.listdir(os.path.join(ROOT, "src", n))}
    for name in sorted(there - named):
        offend(path, 0, f"src/{name}/ is not in the map (a fenced block naming src/<folder>/)")
    for name in sorted(named - there):
        offend(path, 0, f"src/{name}/ is in the map but not in the tree")


def check_presets():
    path = "CMakePresets.json"
    presets = json.loads(read(path))
    for kind in ("configurePresets", "buildPresets"):
        names = {p["name"] for p in presets.get(kind, [])}
        for name in ("dev", "release", "asan", "tsan", "tidy"):
            if name not in names:
                offend(path, 0, f"no {kind[:-1]} {name}")


def check_places(paths):
    for path in paths:
        folder, name = os.path.split(path)
        place = folder
        while place and place not in PLACES:
            place = os.path.dirname(place)
        if (folder and not place) or not re.fullmatch(PLACES[place], name):
            offend(path, 0, f"nothing of this name belongs here; PLACES in tools/check_tree.py says what does")
        elif not os.path.islink(os.path.join(ROOT, path)) and os.path.getsize(os.path.join(ROOT, path)) == 0:
            offend(path, 0, "empty")


def check_allowances(texts):
    """What is allowed above is done by somebody; else it is a hole that nobody watches."""
    path = "tools/check_tree.py"
    uses = set()
    for name, text in texts.items():
        source = Source(name)
        if source.test:
            continue
        for target in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.M):
            for pattern, homes in VENDORS:
                if re.match(pattern, target):
                    uses |= {(pattern, home) for home in homes & source.homes()}
        for target in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
            uses.add((source.folder, target.split("/")[0]))
    for pattern, homes in VENDORS:
        for home in sorted(homes):
            if (pattern, home) not in uses:
                offend(path, 0, f"VENDORS: {home} includes no {pattern}")
    for pair in sorted(SIDEWAYS):
        if pair not in uses:
            offend(path, 0, f"SIDEWAYS: {pair[0]} includes nothing of {pair[1]}")
    for store in sorted(STORES | set(LEVELS) - {"mains"}):
        if not os.path.isdir(os.path.join(ROOT, "src", store)):
            offend(path, 0, f"src/{store}/ is not there")


def names_of_statement(text):
    """The name that a declaration at the top of a namespace makes, if it makes one."""
    text = re.sub(r"^(template\s*<[^{;]*?>\s*)+(?=\w)", "", " ".join(text.split()))
    if not text or re.match(r"(namespace|static_assert|extern|TEST|INSTANTIATE|BENCHMARK)", text):
        return None
    match = re.match(r"(?:class|struct|enum class|enum|union|MATCHER\w*\()\s*(\w+)|using (\w+) =", text)
    if match:
        return match[1] or match[2]
    if text.startswith("using"):
        return None
    before = None
    while before != text:  # the innermost template arguments, until none are left
        before, text = text, re.sub(r"<[^<>()]*(?:\([^<>()]*\))?[^<>()]*>", "", text)
    match = re.match(r"[^=(]*?([\w:]+)\s*(\(|=|\[|$)", text)
    return match[1] if match and "::" not in match[1] and not match[1].startswith("operator") else None


def unnamed_names(text):
    """name -> line of what stands directly in the unnamed namespaces of a source."""
    code = re.sub(r"^\s*#.*$", "", without_comments_and_strings(text), flags=re.M)
    found = {}
    for match in re.finditer(r"\bnamespace\s*\{", code):
        depth, begin = 0, match.end()
        for position in range(match.end(), len(code)):
            letter = code[position]
            if letter == "}" and depth == 0:
                break
            if depth == 0 and letter in "{;":
                if name := names_of_statement(code[begin:position]):
                    start = position - len(code[begin:position].lstrip())
                    found.setdefault(name, code[:start].count("\n") + 1)
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if depth == 0 and letter in "};":
                begin = position + 1
    return found


def check_unity(texts):
    """Files of one library or test program are compiled as one by the presets release, asan and tsan, and one name of two
    unnamed namespaces is then two of one: refused by the compiler, or, worse, an overload that nobody meant."""
    programs = {}
    for path in texts:
        if path.endswith(".cc") and path.startswith(("src/", "test/")):
            folder = os.path.dirname(path)
            for whole in ("src/api", "src/cli"):
                folder = whole if folder.startswith(whole) else folder
            programs.setdefault((folder, path.endswith("_test.cc")), []).append(path)
    for paths in programs.values():
        first = {}
        for path in sorted(paths):
            for name, line in unnamed_names(texts[path]).items():
                if other := first.get(name):
                    offend(path, line, f"{name} is a name of {other}, too: files of one folder are compiled as one")
                else:
                    first[name] = path


def check_documents(paths):
    numbers = {}
    for path in paths:
        if path.startswith("docs/design/") and path.count("/") == 2:
            name = os.path.basename(path)
            match = re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", name)
            if not match:
                offend(path, 0, "design notes are named NNNN-title.md")
            elif numbers.setdefault(match.group(1), path) != path:
                offend(path, 0, f"the number of {numbers[match.group(1)]}")
        if path.startswith("changelog/unreleased/") and not re.fullmatch(r"[a-z0-9-]+\.md", os.path.basename(path)):
            offend(path, 0, "changelog fragments are named <short-name>.md")
    for path in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        if path not in paths:
            offend(path, 0, "missing")


def check_scripts(path, text):
    executable = os.access(os.path.join(ROOT, path), os.X_OK)
    script = text.startswith("#!")
    if path.startswith(("tools/", ".ci/")) or path == "bench/run":
        if not script:
            offend(path, 0, "no #! line")
        if not executable:
            offend(path, 0, "not executable")
    elif executable and not script:
        offend(path, 0, "executable, but no script")


def main():
    paths = list(files())
    texts = {}
    for path in paths:
        if os.path.islink(os.path.join(ROOT, path)):
            continue
        if not path.endswith(TEXT) and not path.startswith(("tools/", ".ci/", "bench/run")):
            continue
        text = read(path)
        if path.endswith((".cc", ".h")):
            check_cpp(path, text)
            texts[path] = text
        check_text(path, text)
        check_scripts(path, text)
    check_places(paths)
    check_allowances(texts)
    check_unity(texts)
    check_map()
    check_presets()
    check_documents(set(paths))
    for line in offences:
        print(line)
    print(f"check_tree: {len(paths)} files, {len(offences)} offences", file=sys.stderr)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
