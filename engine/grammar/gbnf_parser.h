#ifndef HEARTH_ENGINE_GRAMMAR_GBNF_PARSER_H_
#define HEARTH_ENGINE_GRAMMAR_GBNF_PARSER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "engine/grammar/rules.h"

namespace hearth::grammar {

// Longest grammar that is read, in bytes.
inline constexpr size_t kMaxGrammarBytes = size_t{1} << 20;

// Reads a grammar in GBNF, the notation of llama.cpp: rules `name ::= ...`, the first of which to be used is
// `root`. Texts stand in "quotes", characters in [a-z] or [^"\\], `.` is any character; parts follow one
// another, `|` stands between alternatives, ( ) group, and * + ? {3} {3,} {3,5} repeat what stands before
// them. Escapes: \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH. A rule ends with its line, but within
// parentheses and behind `|` or `::=`; # begins a comment.
//
// INVALID_ARGUMENT "line 3, column 14: ...", also for rules that are missing or defined twice.
absl::StatusOr<GrammarRules> ParseGbnf(std::string_view text);

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_GBNF_PARSER_H_
