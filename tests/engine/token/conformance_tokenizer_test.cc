// Every tokenizer case of the reference pack, id by id, both ways. Without the pack the tests are skipped.

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "engine/file/gguf.h"
#include "engine/token/tokenizer.h"
#include "gtest/gtest.h"
#include "tests/support/conformance_pack.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

fs::path PackFolder() { return ConformancePack() / "tokenizers"; }

// A text is a string, or {"hex": bytes} where it is not UTF-8.
std::string TextOf(const Json& text) {
  if (text.is_string()) return text.get<std::string>();
  return absl::HexStringToBytes(text.at("hex").get<std::string>());
}

std::string InputOf(const Json& test_case) {
  return test_case.contains("hex") ? TextOf(test_case) : TextOf(test_case.at("text"));
}

std::unique_ptr<Tokenizer> Load(const fs::path& path) {
  auto file = GgufFile::Open(path.string());
  if (!file.ok()) {
    ADD_FAILURE() << file.status();
    return nullptr;
  }
  auto tokenizer = Tokenizer::FromMetadata((*file)->metadata());
  if (!tokenizer.ok()) {
    ADD_FAILURE() << path << ": " << tokenizer.status();
    return nullptr;
  }
  return *std::move(tokenizer);
}

class ConformanceTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    HEARTH_SKIP_WITHOUT_PACK();
    std::ifstream index(PackFolder() / "index.json");
    ASSERT_TRUE(index) << "no index.json in " << PackFolder();
    index_ = Json::parse(index);
    ASSERT_FALSE(index_.empty());
  }

  Json index_;
};

void CheckEncoding(const Tokenizer& tokenizer, const Json& test_case, const std::string& text) {
  const Json& plain = test_case.at("plain");
  const struct {
    const char* field;
    Tokenizer::EncodeOptions options;
  } kModes[] = {{"plain", {false, false}},
                {"parse", {false, true}},
                {"add", {true, false}},
                {"add_parse", {true, true}}};
  for (const auto& mode : kModes) {
    if (std::string(mode.field) != "plain" && !test_case.contains("detok_add_parse")) continue;
    const auto expected = test_case.value(mode.field, plain).get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.Encode(text, mode.options), expected)
        << mode.field << " of " << test_case.dump().substr(0, 300);
  }
}

void CheckDecoding(const Tokenizer& tokenizer, const Json& test_case) {
  const auto plain = test_case.at("plain").get<std::vector<TokenId>>();
  const Tokenizer::DecodeOptions spelt_out = {.remove_special = false, .unparse_special = true};
  EXPECT_EQ(tokenizer.Decode(plain, spelt_out), TextOf(test_case.at("detok")))
      << test_case.dump().substr(0, 300);
  if (!test_case.contains("detok_add_parse")) return;
  const auto added = test_case.value("add_parse", test_case.at("plain")).get<std::vector<TokenId>>();
  const Tokenizer::DecodeOptions plain_text = {.remove_special = true, .unparse_special = false};
  EXPECT_EQ(tokenizer.Decode(added, plain_text), TextOf(test_case.at("detok_add_parse")))
      << test_case.dump().substr(0, 300);
}

TEST_F(ConformanceTokenizerTest, EveryCaseGivesTheReferencesIdsAndText) {
  size_t cases = 0;
  for (const auto& [name, entry] : index_.items()) {
    SCOPED_TRACE(name);
    const fs::path file = PackFolder() / entry.at("file").get<std::string>();
    const auto tokenizer = Load(file);
    ASSERT_NE(tokenizer, nullptr);
    std::ifstream lines(fs::path(file).replace_extension(".cases.jsonl"));
    for (std::string line; std::getline(lines, line); ++cases) {
      const Json test_case = Json::parse(line);
      CheckEncoding(*tokenizer, test_case, InputOf(test_case));
      CheckDecoding(*tokenizer, test_case);
    }
  }
  EXPECT_GT(cases, 0u);
  RecordProperty("cases", static_cast<int>(cases));
}

TEST_F(ConformanceTokenizerTest, SpecialTokensAreTheReferences) {
  for (const auto& [name, entry] : index_.items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = Load(PackFolder() / entry.at("file").get<std::string>());
    ASSERT_NE(tokenizer, nullptr);
    const Json& expected = entry.at("vocab");
    EXPECT_EQ(tokenizer->vocab_size(), expected.at("n_vocab").get<int>());
    EXPECT_EQ(tokenizer->bos(), expected.at("bos").get<TokenId>());
    EXPECT_EQ(tokenizer->eos(), expected.at("eos").get<TokenId>());
    EXPECT_EQ(tokenizer->adds_bos(), expected.at("add_bos").get<int>() == 1);
    EXPECT_EQ(tokenizer->end_of_generation(), expected.at("eog").get<std::vector<TokenId>>());
  }
}

// Names of pre-tokenizers that share their rule must give the same ids as the name in the file.
TEST_F(ConformanceTokenizerTest, OtherNamesOfAPreTokenizerGiveTheSameIds) {
  for (const auto& [name, entry] : index_.items()) {
    for (const Json& other : entry.value("same_ids_with_pre", Json::array())) {
      SCOPED_TRACE(name + " as " + other.get<std::string>());
      const fs::path path = PackFolder() / entry.at("file").get<std::string>();
      auto file = GgufFile::Open(path.string());
      ASSERT_TRUE(file.ok()) << file.status();
      GgufMetadata metadata = (*file)->metadata();
      metadata.Set("tokenizer.ggml.pre", other.get<std::string>());
      auto tokenizer = Tokenizer::FromMetadata(metadata);
      ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
      std::ifstream lines(fs::path(path).replace_extension(".cases.jsonl"));
      for (std::string line; std::getline(lines, line);) {
        const Json test_case = Json::parse(line);
        EXPECT_EQ((*tokenizer)->Encode(InputOf(test_case), {false, false}),
                  test_case.at("plain").get<std::vector<TokenId>>());
      }
    }
  }
}

}  // namespace
}  // namespace hearth
