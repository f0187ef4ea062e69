// Encodes and decodes arbitrary bytes with a small vocabulary of each kind and pre-tokenizer. The first byte
// of the input picks the vocabulary, the second the options, the rest is the text.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/token/pre_tokenizer_rules.h"
#include "engine/token/unicode.h"
#include "engine/token/vocabulary.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

const std::vector<std::string> kMerges = {"Ġ Ġ",  "a a", "Ġ a", "t h", "Ġ t", "th e", "1 2",
                                          "12 3", "Ċ Ċ", "ä ¸", "' s", "ã Ģ", "aa aa"};

std::unique_ptr<Tokenizer> MakeBpe(const std::string& pre) {
  GgufMetadata metadata =
      BpeMetadata(pre, kMerges, {{"<|im_end|>", kControl}, {"<u>", kUserDefined}, {"    ", kUserDefined}});
  metadata.Set("tokenizer.ggml.bos_token_id", uint64_t{0});
  return MakeTokenizer(metadata);
}

std::unique_ptr<Tokenizer> MakeSpm() {
  return MakeTokenizer(SpmMetadata({{"▁", kNormal, -9},
                                    {"a", kNormal, -9},
                                    {"t", kNormal, -9},
                                    {"h", kNormal, -9},
                                    {"▁▁", kNormal, -3},
                                    {"▁a", kNormal, -2},
                                    {"th", kNormal, -1},
                                    {"aa", kNormal, -4},
                                    {"aaaa", kNormal, -5},
                                    {"é", kNormal, -9},
                                    {"a▁", kNormal, -7}}));
}

std::unique_ptr<Tokenizer> MakeWordPiece() {
  return MakeTokenizer(WordPieceMetadata({"▁a", "▁th", "e", "a", "▁,", "▁中", "aaa", "▁e"}));
}

struct Subject {
  std::unique_ptr<Tokenizer> tokenizer;
  VocabularyKind kind;
  bool keeps_spaces;  // decoding does not clean them
};

std::vector<Subject> MakeSubjects() {
  std::vector<Subject> subjects;
  subjects.push_back({MakeSpm(), VocabularyKind::kSpm, true});
  subjects.push_back({MakeWordPiece(), VocabularyKind::kWordPiece, false});
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(PreTokenizerNames(), ", "))) {
    const PreTokenizerRule& rule = *FindPreTokenizerRule(name);
    subjects.push_back({MakeBpe(name), VocabularyKind::kBpe, !rule.clean_spaces && !rule.utf8_tokens});
  }
  for (const Subject& subject : subjects) HEARTH_CHECK(subject.tokenizer != nullptr);
  return subjects;
}

std::string WithoutSpaceMarks(std::string_view text) {
  return absl::StrReplaceAll(AbslView(text), {{AbslView(kSpaceMark), " "}});
}

// What lenient decoding makes of `text`, in UTF-8 again.
std::string Repaired(std::string_view text) {
  std::string repaired;
  for (char32_t c : DecodeUtf8(text)) AppendUtf8(c, &repaired);
  return repaired;
}

bool IsValidUtf8(std::string_view text) {
  for (bool truncated = false; !text.empty();) {
    const size_t length = ValidUtf8Length(text, &truncated);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// Byte-level vocabularies give back what was decoded, SPM with byte tokens the bytes themselves (but for the
// character that stands for a space).
void CheckRoundTrip(const Subject& subject, std::string_view text) {
  const std::vector<TokenId> ids =
      subject.tokenizer->Encode(text, {.add_special = false, .parse_special = false});
  const std::string decoded = subject.tokenizer->Decode(ids, {.unparse_special = true});
  if (subject.kind == VocabularyKind::kSpm)
    HEARTH_CHECK(WithoutSpaceMarks(decoded) == WithoutSpaceMarks(text));
  // User-defined tokens are cut out before broken characters are repaired; that may change what counts as
  // broken.
  const bool plain =
      text.find("<u>") == std::string_view::npos && text.find("    ") == std::string_view::npos;
  if (subject.kind == VocabularyKind::kBpe && subject.keeps_spaces && plain)
    HEARTH_CHECK(decoded == Repaired(text));
}

void CheckStream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  StreamDecoder decoder(tokenizer, /*at_start_of_text=*/true);
  for (TokenId id : ids) HEARTH_CHECK(IsValidUtf8(decoder.Push(id)));
  HEARTH_CHECK(IsValidUtf8(decoder.Flush()));
}

void Check(const uint8_t* data, size_t size) {
  static const auto* const subjects = new std::vector<Subject>(MakeSubjects());
  if (size < 2) return;
  const Subject& subject = (*subjects)[data[0] % subjects->size()];
  const Tokenizer& tokenizer = *subject.tokenizer;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::vector<TokenId> ids =
      tokenizer.Encode(text, {.add_special = (data[1] & 1) != 0, .parse_special = (data[1] & 2) != 0});
  for (TokenId id : ids) HEARTH_CHECK(id >= 0 && id < tokenizer.vocab_size());
  tokenizer.Decode(ids, {.remove_special = (data[1] & 4) != 0, .unparse_special = (data[1] & 8) != 0});
  CheckRoundTrip(subject, text);
  CheckStream(tokenizer, ids);

  // Ids that no text gave, some of them outside the vocabulary.
  std::vector<TokenId> any;
  for (size_t i = 2; i + 1 < size; i += 2) any.push_back(static_cast<int16_t>(data[i] | data[i + 1] << 8));
  tokenizer.Decode(any, {.remove_special = (data[1] & 4) != 0, .unparse_special = (data[1] & 8) != 0});
  CheckStream(tokenizer, any);
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::Check(data, size);
  return 0;
}
