#ifndef HEARTH_ENGINE_TOKEN_UNICODE_TABLES_H_
#define HEARTH_ENGINE_TOKEN_UNICODE_TABLES_H_

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "engine/token/unicode.h"

// The generated data behind unicode.h (unicode_tables.cc, from make_unicode_tables.py), sorted by code point.
namespace hearth::unicode_tables {

// `category` holds from `first` up to the next entry.
struct CategoryStart {
  char32_t first;
  CodePointCategory category;
};

// Every step-th code point from `first` to `last` is mapped. The target of `first` is `target`.
struct MappedRun {
  char32_t first;
  char32_t last;
  uint32_t step;
  char32_t target;
};

extern const CategoryStart kCategories[];
extern const size_t kCategoryCount;
// Simple lower case: the target moves along with the code point.
extern const MappedRun kLowerCase[];
extern const size_t kLowerCaseCount;
// First character of the canonical decomposition (NFD): the same target for the whole run.
extern const MappedRun kBaseLetters[];
extern const size_t kBaseLetterCount;

}  // namespace hearth::unicode_tables

#endif  // HEARTH_ENGINE_TOKEN_UNICODE_TABLES_H_
