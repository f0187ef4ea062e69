#include "engine/token/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 32
#include <pcre2.h>

#include <array>
#include <limits>
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/token/unicode.h"

namespace hearth {
namespace {

// What stands for a character beyond ASCII in a text of categories ("classes"). All lie beyond ASCII and
// below 256, so that PCRE2 matches them by bitmap.
constexpr char32_t kOtherClass = 0xD0;
constexpr char32_t kNumberClass = 0xD1;
constexpr char32_t kLetterClass = 0xD2;
constexpr char32_t kPunctuationClass = 0xD3;
constexpr char32_t kMarkClass = 0xD4;
constexpr char32_t kSymbolClass = 0xD5;
constexpr char32_t kHanClass = 0xD6;
// Whitespace beyond ASCII: PCRE2's \s matches it, ' ' and [\r\n] do not.
constexpr char32_t kWhitespaceClass = 0x0B;

// What \p{name} becomes inside brackets: its class and its members in ASCII.
struct Property {
  std::u32string_view name;
  char32_t class_code;
  std::u32string_view ascii;
};
constexpr std::array<Property, 8> kProperties = {{
    {U"\\p{N}", kNumberClass, U"0-9"},
    {U"\\p{L}", kLetterClass, U"A-Za-z"},
    {U"\\p{Lu}", kLetterClass, U"A-Z"},
    {U"\\p{Ll}", kLetterClass, U"a-z"},
    {U"\\p{P}", kPunctuationClass, U"!-#%-*,-/:;?@\\[-\\]_{}"},
    {U"\\p{M}", kMarkClass, U""},
    {U"\\p{S}", kSymbolClass, U"$+<=>^`|~"},
    {U"\\p{Han}", kHanClass, U""},
}};

const Property* PropertyAt(std::u32string_view pattern, size_t at) {
  for (const Property& property : kProperties) {
    if (pattern.substr(at, property.name.size()) == property.name) return &property;
  }
  return nullptr;
}

bool NamesProperty(std::string_view pattern) { return pattern.find("\\p{") != std::string_view::npos; }

// `pattern` with every property written as the characters of a text of classes.
std::u32string ExpandProperties(std::u32string_view pattern) {
  std::u32string expanded;
  bool in_brackets = false;
  for (size_t at = 0; at < pattern.size();) {
    if (const Property* property = PropertyAt(pattern, at)) {
      if (!in_brackets) expanded += U'[';
      expanded += property->class_code;
      expanded += property->ascii;
      if (!in_brackets) expanded += U']';
      at += property->name.size();
      continue;
    }
    const size_t length = pattern[at] == U'\\' ? 2 : 1;
    if (pattern[at] == U'[') in_brackets = true;
    if (pattern[at] == U']') in_brackets = false;
    expanded += pattern.substr(at, length);
    at += length;
  }
  return expanded;
}

char32_t ClassOf(char32_t code_point, bool separate_han) {
  if (code_point < 0x80) return code_point;
  if (separate_han && IsHan(code_point)) return kHanClass;
  if (IsWhitespace(code_point)) return kWhitespaceClass;
  switch (Category(code_point)) {
    case CodePointCategory::kNumber:
      return kNumberClass;
    case CodePointCategory::kLetter:
      return kLetterClass;
    case CodePointCategory::kPunctuation:
      return kPunctuationClass;
    case CodePointCategory::kMark:
      return kMarkClass;
    case CodePointCategory::kSymbol:
      return kSymbolClass;
    default:
      return kOtherClass;
  }
}

PCRE2_SPTR32 Units(const char32_t* text) { return reinterpret_cast<PCRE2_SPTR32>(text); }

bool IsAsciiDigit(char32_t c) { return c >= U'0' && c <= U'9'; }

// The forms of one text that stages look at.
struct Views {
  std::u32string classes;
  std::u32string characters;  // whitespace beyond ASCII replaced
};

void AppendEnd(size_t end, std::vector<size_t>* ends) {
  if (end > (ends->empty() ? 0 : ends->back())) ends->push_back(end);
}

}  // namespace

class PreTokenizer::Stage {
 public:
  explicit Stage(const SplitStage& stage) : kind_(stage.kind), by_class_(NamesProperty(stage.pattern)) {
    if (kind_ == SplitKind::kRegex) Compile(DecodeUtf8(stage.pattern));
    if (kind_ == SplitKind::kNumberGroups) by_class_ = true;
  }

  bool by_class() const { return by_class_; }

  // Cuts the piece [begin, end) and appends where the new pieces end.
  void Split(const Views& views, size_t begin, size_t end, pcre2_match_data* match,
             std::vector<size_t>* ends) const {
    const std::u32string& text = by_class_ ? views.classes : views.characters;
    if (kind_ == SplitKind::kRegex) {
      SplitByRegex(std::u32string_view(text).substr(begin, end - begin), begin, match, ends);
    } else {
      SplitDigits(text, begin, end, ends);
    }
    AppendEnd(end, ends);
  }

 private:
  struct FreeCode {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };

  void Compile(std::u32string_view pattern) {
    const std::u32string expanded = by_class_ ? ExpandProperties(pattern) : std::u32string(pattern);
    int error = 0;
    PCRE2_SIZE error_at = 0;
    code_.reset(
        pcre2_compile(Units(expanded.data()), expanded.size(), PCRE2_NEVER_UTF, &error, &error_at, nullptr));
    HEARTH_CHECK(code_ != nullptr);
    compiled_to_machine_code_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) == 0;
  }

  // Whether `piece` has a match at or after `from`; the matcher's slower form takes over where the fast one's
  // stack is too small.
  bool Search(std::u32string_view piece, size_t from, pcre2_match_data* match) const {
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (compiled_to_machine_code_) {
      found = pcre2_jit_match(code_.get(), Units(piece.data()), piece.size(), from, 0, match, nullptr);
    }
    if (found == PCRE2_ERROR_JIT_STACKLIMIT || found == PCRE2_ERROR_MATCHLIMIT) {
      static pcre2_match_context* const unlimited = [] {
        pcre2_match_context* context = pcre2_match_context_create(nullptr);
        HEARTH_CHECK(context != nullptr);
        pcre2_set_match_limit(context, std::numeric_limits<uint32_t>::max());
        return context;
      }();
      found =
          pcre2_match(code_.get(), Units(piece.data()), piece.size(), from, PCRE2_NO_JIT, match, unlimited);
    }
    return found > 0;
  }

  void SplitByRegex(std::u32string_view piece, size_t offset, pcre2_match_data* match,
                    std::vector<size_t>* ends) const {
    for (size_t at = 0; at < piece.size();) {
      if (!Search(piece, at, match)) return;
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match);
      HEARTH_CHECK(range[1] > at);  // no rule matches the empty string
      AppendEnd(offset + range[0], ends);
      AppendEnd(offset + range[1], ends);
      at = range[1];
    }
  }

  void SplitDigits(std::u32string_view text, size_t begin, size_t end, std::vector<size_t>* ends) const {
    const bool any_number = kind_ == SplitKind::kNumberGroups;
    const auto is_digit = [&](char32_t c) { return IsAsciiDigit(c) || (any_number && c == kNumberClass); };
    for (size_t at = begin; at < end;) {
      const size_t run = at;
      while (at < end && is_digit(text[at])) ++at;
      for (size_t group = run + (at - run) % 3; group < at; group += 3) {
        if (group > run || !any_number) AppendEnd(group, ends);
      }
      if (any_number && at > run) AppendEnd(at, ends);
      while (at < end && !is_digit(text[at])) ++at;
    }
  }

  SplitKind kind_;
  bool by_class_;
  bool compiled_to_machine_code_ = false;
  std::unique_ptr<pcre2_code, FreeCode> code_;
};

PreTokenizer::PreTokenizer(const PreTokenizerRule& rule) {
  for (const SplitStage& stage : rule.stages) {
    stages_.emplace_back(stage);
    (stages_.back().by_class() ? sees_classes_ : sees_characters_) = true;
    if (stage.pattern.find("\\p{Han}") != std::string::npos) separates_han_ = true;
  }
}
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

std::vector<size_t> PreTokenizer::WordEnds(std::u32string_view text) const {
  if (text.empty()) return {};
  Views views;
  if (sees_classes_) {
    views.classes.reserve(text.size());
    for (char32_t c : text) views.classes += ClassOf(c, separates_han_);
  }
  if (sees_characters_) {
    views.characters.reserve(text.size());
    for (char32_t c : text) views.characters += c >= 0x80 && IsWhitespace(c) ? kWhitespaceClass : c;
  }
  struct FreeMatch {
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  HEARTH_CHECK(match != nullptr);

  std::vector<size_t> ends = {text.size()};
  std::vector<size_t> finer;
  for (const Stage& stage : stages_) {
    finer.clear();
    size_t begin = 0;
    for (size_t end : ends) {
      stage.Split(views, begin, end, match.get(), &finer);
      begin = end;
    }
    ends.swap(finer);
  }
  return ends;
}

}  // namespace hearth
