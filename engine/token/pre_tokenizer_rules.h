#ifndef HEARTH_ENGINE_TOKEN_PRE_TOKENIZER_RULES_H_
#define HEARTH_ENGINE_TOKEN_PRE_TOKENIZER_RULES_H_

#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// Before byte-pair merges run, a text is cut into words that no merge crosses. How, depends on the model and
// is named by tokenizer.ggml.pre. Each rule is data: stages, of which each cuts the pieces that the one
// before left.

enum class SplitKind {
  // `pattern` (PCRE2) is searched again and again: matches and the gaps between them become pieces.
  //   A pattern with \p{L}, \p{M}, \p{N}, \p{P} or \p{S} sees characters beyond ASCII only by that category,
  //   one
  //   without sees them as they are. Whitespace beyond ASCII is \s but neither ' ' nor [\r\n] to both. \p{Lu}
  //   is
  //   A-Z, \p{Ll} is a-z, and both are all letters beyond ASCII. \p{Han} are Chinese characters, which \p{L}
  //   leaves out in a rule that names it.
  kRegex,
  // A run of ASCII digits is cut before each group of three, counted from its end.
  kDigitGroups,
  // A run of \p{N} is cut before each group of three, counted from its end, and after its end, not before it.
  kNumberGroups,
};

struct SplitStage {
  SplitKind kind = SplitKind::kRegex;
  std::string pattern;  // UTF-8, of kRegex
};

struct PreTokenizerRule {
  std::vector<std::string_view> names;  // values of tokenizer.ggml.pre
  std::vector<SplitStage> stages;
  bool ignore_merges = false;  // a word that is a token is taken as it is
  bool add_bos = false;        // where the file does not say
  bool force_bos = false;      // even where the file says no
  bool clean_spaces = true;    // detokenisation drops the space before punctuation
  bool utf8_tokens =
      false;  // tokens are UTF-8 with kSpaceMark for ' ' and <0xHH> for bytes, not mapped bytes
  bool whole_newlines = false;  // a run of newlines that is a token is taken as it is
  bool merges_optional = false;
};

// The rule of a name; nullptr for an unknown one. "" is the rule of files that name none.
const PreTokenizerRule* FindPreTokenizerRule(std::string_view name);
// Every name, comma-separated, for messages.
std::string PreTokenizerNames();

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_PRE_TOKENIZER_RULES_H_
