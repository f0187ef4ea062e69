#include "engine/token/pre_tokenizer_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hearth {
namespace {

using Stages = std::vector<SplitStage>;

SplitStage Regex(std::string pattern) { return {SplitKind::kRegex, std::move(pattern)}; }
Stages Regexes(std::vector<std::string> patterns) {
  Stages stages;
  for (std::string& pattern : patterns) stages.push_back(Regex(std::move(pattern)));
  return stages;
}

// Parts that many patterns share.
constexpr char kContraction[] = R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))";
constexpr char kLetters[] = R"([^\r\n\p{L}\p{N}]?\p{L}+)";
constexpr char kSymbols[] = R"( ?[^\s\p{L}\p{N}]+[\r\n]*)";
constexpr char kNewlines[] = R"(\s*[\r\n]+)";
constexpr char kSpaces[] = R"(\s+(?!\S)|\s+)";
constexpr char kDigit[] = R"(\p{N})";
constexpr char kUpToThreeDigits[] = R"(\p{N}{1,3})";

std::string Alternatives(const std::vector<std::string>& parts) { return absl::StrJoin(parts, "|"); }

// Words with their leading space, numbers, symbols: the oldest pattern, from GPT-2.
std::string Gpt2() { return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"; }

// From GPT-4: contractions in any case, newlines of their own, short numbers.
std::string Gpt4(const std::string& number) {
  return Alternatives({kContraction, kLetters, number, kSymbols, kNewlines, kSpaces});
}

// From GPT-4o: a capitalised word ends before the next capital. `upper` and `lower` are the letters of its
// first and second part, `suffix` may follow.
std::string CamelCase(const std::string& upper, const std::string& lower, const std::string& suffix,
                      const std::string& number) {
  const std::string lead = R"([^\r\n\p{L}\p{N}]?)";
  return Alternatives({absl::StrCat(lead, upper, "*", lower, "+", suffix),
                       absl::StrCat(lead, upper, "+", lower, "*", suffix), number,
                       R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)", kNewlines, kSpaces});
}
// Words of letters and marks; a punctuation character of ASCII sticks to the letters after it.
std::string DeepSeek3(const std::string& newlines) {
  return Alternatives({R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)",
                       R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)", newlines, kSpaces});
}
constexpr char kDeepSeek3Newlines[] = R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+)";
constexpr char kChineseAndKana[] = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr char kChineseAndKorean[] = R"([\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";

// Letters of alphabets with cases, as one tokenizer enumerated them.
constexpr char kCasedLetters[] =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";

// Everything up to punctuation of several scripts.
constexpr char kUpToPunctuation[] = R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)";

Stages DeepSeekLlm() {
  return Regexes({R"([\r\n])", kCasedLetters,
                  R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
                  // A run of whitespace at the end; looking back keeps the search linear.
                  R"((?<!\s)\s++\z)", kChineseAndKorean, R"(\p{N}+)"});
}

// Chinese characters, then words of other letters. Contractions stay with their word.
Stages KimiK2() {
  return Regexes(
      {Alternatives({R"(\p{Han}+)", absl::StrCat(R"([^\r\n\p{L}\p{N}\p{Han}]?\p{L}+)", kContraction, "?"),
                     kUpToThreeDigits, R"( ?[^\s\p{L}\p{N}\p{Han}]+[\r\n]*)", kNewlines, kSpaces})});
}

Stages Youtu() {
  const std::string letter = R"([\p{L}\p{M}])";
  return Regexes(
      {R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+)"
       R"(|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+)"
       R"(|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
       CamelCase(letter, letter, absl::StrCat(kContraction, "?"), kDigit)});
}

Stages AfMoe() {
  return {{SplitKind::kNumberGroups, ""},
          Regex(R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF})"
                R"(\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{0E40}-\x{0E7F}\x{0E80}-\x{0EFF}\x{1780}-\x{17FF})"
                R"(\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)"),
          Regex(DeepSeek3(kDeepSeek3Newlines))};
}

Stages Chameleon() {
  return Regexes({"<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", R"([\t\n]|    |  )", kDigit,
                  R"([\p{P}!-/:-@\[-`{-~])", Gpt2()});
}

// Long whitespace in powers of two. A run of it is met in many steps, of which only the first can find a
// newline: looking back spares the others the search.
std::string Jais2() {
  std::vector<std::string> parts = {kContraction, kLetters, kUpToThreeDigits, kSymbols,
                                    R"((?<![^\S\r\n])\s*[\r\n]+)"};
  for (int length = 512; length >= 4; length /= 2) {
    parts.push_back(absl::StrCat(R"(\s{)", length, R"(}(?!\S))"));
  }
  parts.push_back(R"(\s{1,2}(?!\S)|\s)");
  return Alternatives(parts);
}

std::vector<PreTokenizerRule> MakeRules() {
  const Stages gpt2 = Regexes({Gpt2()});
  const Stages digit_gpt2 = Regexes({kDigit, Gpt2()});
  const Stages gpt4_one_digit = Regexes({Gpt4(kDigit)});
  const Stages gpt4_three_digits = Regexes({Gpt4(kUpToThreeDigits)});
  const Stages gpt4o =
      Regexes({CamelCase(R"(\p{Lu})", R"(\p{Ll})", absl::StrCat(kContraction, "?"), kUpToThreeDigits)});
  const Stages deepseek3 = Regexes({kUpToThreeDigits, kChineseAndKana, DeepSeek3(kDeepSeek3Newlines)});
  const Stages lines = Regexes({R"([^\n]+|\n+)"});
  return {
      {.names = {"", "default"},
       .stages = Regexes({R"([\p{P}\$\+<=>\^~\|]+)", Gpt2(), R"(\p{N}+)", R"([0-9][0-9][0-9])"})},
      {.names = {"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de",
                 "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0", "mellum", "modern-bert", "mpt", "olmo",
                 "jais", "exaone4"},
       .stages = gpt2},
      {.names = {"trillion", "granite-docling"}, .stages = gpt2, .clean_spaces = false},
      {.names = {"starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"},
       .stages = digit_gpt2},
      {.names = {"command-r", "smollm"}, .stages = digit_gpt2, .clean_spaces = false},
      {.names = {"falcon"}, .stages = Regexes({R"([\p{P}\$\+<=>\^~\|`]+)", Gpt2(), R"([0-9][0-9][0-9])"})},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                 "jina-v5-nano"},
       .stages = gpt4_three_digits,
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"dbrx", "smaug-bpe"}, .stages = gpt4_three_digits},
      {.names = {"glm4", "chatglm-bpe"}, .stages = gpt4_three_digits},
      {.names = {"minicpm5"},
       .stages = Regexes({kUpToThreeDigits, Gpt4(R"(\p{N}+)")}),
       .ignore_merges = true},
      {.names = {"jais-2"}, .stages = Regexes({Jais2()})},
      {.names = {"stablelm2"}, .stages = gpt4_one_digit},
      {.names = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "hunyuan", "solar-open",
                 "grok-2"},
       .stages = gpt4_one_digit,
       .clean_spaces = false},
      {.names = {"ufakzeka"},
       .stages = Regexes({Alternatives({kLetters, kDigit, kSymbols, kNewlines, kSpaces})}),
       .clean_spaces = false},
      {.names = {"laguna"}, .stages = {lines[0], gpt4_one_digit[0]}, .clean_spaces = false},
      {.names = {"qwen35"},
       .stages = Regexes({Alternatives({kContraction, R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)", kDigit,
                                        R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)", kNewlines, kSpaces})}),
       .clean_spaces = false},
      {.names = {"seed-coder"},
       .stages = Regexes(
           {Alternatives({kContraction, kLetters, kDigit, R"( ?[^\s\p{L}\p{N}\r\n]+)", kNewlines, kSpaces})}),
       .clean_spaces = false},
      {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
       .stages = Regexes({Alternatives({R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE]))", kLetters, kDigit,
                                        kSymbols, R"(\s*[\r\n])", kSpaces})}),
       .clean_spaces = false},
      {.names = {"exaone-moe"},
       .stages = Regexes({Alternatives({kContraction, R"([^\r\n\p{L}\p{N}]?\p{L}(?:[\p{L}\p{M}]++| \p{L})*+)",
                                        kDigit, R"( ?[^\s\p{L}\p{N}]+[\r\n/]?)", R"(\s*[\r\n])", kSpaces})})},
      {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"},
       .stages = gpt4o,
       .clean_spaces = false},
      {.names = {"granite-embed-multi-97m"},
       .stages = Regexes({CamelCase(R"([\p{Lu}\p{M}])", R"([\p{Ll}\p{M}])", absl::StrCat(kContraction, "?"),
                                    kUpToThreeDigits)}),
       .ignore_merges = true,
       .clean_spaces = false},
      {.names = {"tekken"},
       .stages = Regexes({CamelCase(R"(\p{Lu})", R"(\p{Ll})", "", kDigit)}),
       .ignore_merges = true,
       .add_bos = true,
       .clean_spaces = false},
      {.names = {"tiny_aya", "cohere2moe"},
       .stages = {{SplitKind::kNumberGroups, ""},
                  Regex(CamelCase(R"([\p{L}\p{M}])", R"([\p{L}\p{M}])", absl::StrCat(kContraction, "?"),
                                  kUpToThreeDigits))},
       .clean_spaces = false},
      {.names = {"youtu"}, .stages = Youtu(), .ignore_merges = true, .clean_spaces = false},
      {.names = {"deepseek-llm"}, .stages = DeepSeekLlm(), .clean_spaces = false},
      {.names = {"deepseek-coder"},
       .stages = Regexes({R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kChineseAndKorean, kDigit}),
       .clean_spaces = false},
      {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
       .stages = deepseek3,
       .clean_spaces = false},
      {.names = {"spark2_5"},
       .stages = Regexes({kUpToThreeDigits, kChineseAndKana, DeepSeek3(R"( ?[\p{P}\p{S}]+|[\r\n])"), kDigit}),
       .clean_spaces = false},
      {.names = {"kimi-k2"}, .stages = KimiK2(), .clean_spaces = false, .merges_optional = true},
      {.names = {"afmoe"}, .stages = AfMoe(), .clean_spaces = false},
      {.names = {"superbpe"},
       .stages = {Regex(R"(\p{N}+)"), {SplitKind::kDigitGroups, ""}},
       .clean_spaces = false},
      {.names = {"bloom", "gpt3-finnish"}, .stages = Regexes({kUpToPunctuation})},
      {.names = {"poro-chat"}, .stages = Regexes({kUpToPunctuation}), .clean_spaces = false},
      {.names = {"viking"}, .stages = Regexes({kUpToPunctuation, kDigit}), .clean_spaces = false},
      {.names = {"chameleon"}, .stages = Chameleon(), .add_bos = true, .clean_spaces = false},
      {.names = {"gemma4", "granite-embed-multi-311m"},
       .stages = lines,
       .force_bos = true,
       .utf8_tokens = true,
       .whole_newlines = true},
      {.names = {"sarvam-moe"}, .stages = lines, .clean_spaces = false, .utf8_tokens = true},
  };
}

const std::vector<PreTokenizerRule>& Rules() {
  static const auto* const rules = new std::vector<PreTokenizerRule>(MakeRules());
  return *rules;
}

}  // namespace

const PreTokenizerRule* FindPreTokenizerRule(std::string_view name) {
  for (const PreTokenizerRule& rule : Rules()) {
    if (std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end()) return &rule;
  }
  return nullptr;
}

std::string PreTokenizerNames() {
  std::vector<std::string> names;
  for (const PreTokenizerRule& rule : Rules()) {
    for (std::string_view name : rule.names) {
      if (!name.empty()) names.emplace_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return absl::StrJoin(names, ", ");
}

}  // namespace hearth
