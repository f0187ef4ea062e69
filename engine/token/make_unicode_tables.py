#!/usr/bin/env python3
"""Writes unicode_tables.cc: make_unicode_tables.py > unicode_tables.cc

The tables come from this interpreter's unicodedata. Vocabularies were made for, and are compared with, Unicode
15.1 (Python 3.13): another version shifts the categories of characters that were assigned in between.
"""

import sys
import unicodedata

CODE_POINTS = 0x110000

# The first letter of the general category decides; unassigned code points ("Cn") are kept apart from controls.
CATEGORY = {"N": "kNumber", "L": "kLetter", "Z": "kSeparator", "M": "kMark", "P": "kPunctuation", "S": "kSymbol", "C": "kControl"}


def category(code_point):
    name = unicodedata.category(chr(code_point))
    return "kUnassigned" if name == "Cn" else CATEGORY[name[0]]


def category_ranges():
    """(first code point, category) wherever the category changes."""
    previous = None
    for code_point in range(CODE_POINTS):
        current = category(code_point)
        if current != previous:
            yield code_point, current
        previous = current


def mapping(convert):
    """(code point, target) of everything that `convert` changes; of longer results only the first character counts."""
    pairs = ((code_point, ord(convert(chr(code_point))[0])) for code_point in range(CODE_POINTS))
    return [(source, target) for source, target in pairs if source != target]


def group(pairs, target_moves):
    """Runs {first, last, step, target}: every step-th code point from first to last maps to target, which moves along
    with the code point (lower case) or stays (the base letter of decompositions)."""
    runs = []
    for source, target in pairs:
        if runs:
            first, last, step, base = runs[-1]
            gap = source - last
            expected = base + (source - first) if target_moves else base
            if target == expected and gap <= 2 and (first == last or gap == step):
                runs[-1] = (first, source, gap, base)
                continue
        runs.append((source, source, 1, target))
    return runs


def print_table(declaration, rows, per_line):
    rows = list(rows)
    print(f"\nconst {declaration}[] = {{")
    for start in range(0, len(rows), per_line):
        print("    " + " ".join(rows[start : start + per_line]))
    print("};")


def main():
    print(f"// Unicode {unicodedata.unidata_version}, written by make_unicode_tables.py: do not edit.")
    print("// clang-format off\n")
    print('#include "engine/token/unicode_tables.h"\n')
    print("namespace hearth::unicode_tables {\n")
    print("using enum CodePointCategory;")
    print_table("CategoryStart kCategories", (f"{{0x{first:X}, {name}}}," for first, name in category_ranges()), 4)
    lower = group(mapping(str.lower), target_moves=True)
    base = group(mapping(lambda char: unicodedata.normalize("NFD", char)), target_moves=False)
    for name, runs in (("kLowerCase", lower), ("kBaseLetters", base)):
        print_table(f"MappedRun {name}", ("{0x%X, 0x%X, %d, 0x%X}," % run for run in runs), 4)
    print("\nconst size_t kCategoryCount = std::size(kCategories);")
    print("const size_t kLowerCaseCount = std::size(kLowerCase);")
    print("const size_t kBaseLetterCount = std::size(kBaseLetters);")
    print("\n}  // namespace hearth::unicode_tables")


if __name__ == "__main__":
    sys.exit(main())
