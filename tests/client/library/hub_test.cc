#include "client/library/hub.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;

const std::string kDigest(64, 'a');

TEST(ParseHubNameTest, ReadsRepositoryAndWhatIsWanted) {
  EXPECT_EQ(ParseHubName("u/r")->repository, "u/r");
  EXPECT_EQ(ParseHubName("u/r")->wanted, "");
  EXPECT_EQ(ParseHubName("u.x/r-1_2:Q8_0/m.gguf")->wanted, "Q8_0/m.gguf");
}

TEST(ParseHubNameTest, RefusesWhatIsNoRepository) {
  for (const char* text : {"", "u", "u/", "/r", "u/r/x", "../r", "u/..", "u/r:", "u/r?x", "u/r x", "u/\n"}) {
    EXPECT_FALSE(ParseHubName(text).ok()) << text;
  }
}

TEST(HubUrlTest, FilesAreEscaped) {
  EXPECT_EQ(HubFileUrl("https://h", "u/r", "Q8 0/m.gguf"), "https://h/u/r/resolve/main/Q8%200/m.gguf");
  EXPECT_EQ(HubListUrl("https://h", "u/r"), "https://h/api/models/u/r/tree/main?recursive=true");
}

TEST(ParseHubListTest, ReadsSizesAndDigestsOfFiles) {
  const auto files = ParseHubList(absl::StrCat(
      R"([{"type":"directory","path":"d","size":0},{"type":"file","path":"README.md","size":5},)",
      R"({"type":"file","path":"d/m.gguf","size":7,"lfs":{"oid":")", kDigest, R"(","size":7}}])"));
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].sha256, "");
  EXPECT_EQ((*files)[1].path, "d/m.gguf");
  EXPECT_EQ((*files)[1].bytes, 7u);
  EXPECT_EQ((*files)[1].sha256, kDigest);
}

TEST(ParseHubListTest, RefusesWhatIsNoList) {
  for (const char* json : {"", "[", "{}", "null", R"([{"type":"file","path":"m.gguf"}])",
                           R"([{"type":"file","path":"m.gguf","size":-1}])",
                           R"([{"type":"file","path":"m.gguf","size":7,"lfs":{"oid":"short"}}])"}) {
    EXPECT_FALSE(ParseHubList(json).ok()) << json;
  }
  EXPECT_TRUE(ParseHubList("[1, null, {}]")->empty());
}

TEST(NextPageOfTest, ReadsTheLink) {
  EXPECT_EQ(NextPageOf("<https://h/a>; rel=\"prev\", <https://h/b>; rel=\"next\""), "https://h/b");
  EXPECT_EQ(NextPageOf(""), std::nullopt);
  EXPECT_EQ(NextPageOf(">x<; rel=\"next\""), std::nullopt);
}

std::vector<HubFile> Files(const std::vector<std::string>& paths) {
  std::vector<HubFile> files;
  for (const std::string& path : paths) files.push_back({path, 1000, kDigest});
  return files;
}

std::vector<std::string> Chosen(const std::vector<std::string>& paths, const std::string& wanted) {
  const auto chosen = ChooseHubFiles(Files(paths), {"u/r", wanted});
  if (!chosen.ok()) return {std::string(chosen.status().message())};
  std::vector<std::string> names;
  for (const HubFile& file : *chosen) names.push_back(file.path);
  return names;
}

using testing::ElementsAre;

const std::vector<std::string> kMany = {"README.md",     "m-Q4_K.gguf",   "m-Q4_K_M.gguf",
                                        "m-Q4_K_S.gguf", "m-IQ4_XS.gguf", "mmproj-m-F16.gguf"};

TEST(ChooseHubFilesTest, TheOnlyModelNeedsNoName) {
  EXPECT_THAT(Chosen({"README.md", "m.gguf", "mmproj-F16.gguf", "imatrix.gguf"}, ""), ElementsAre("m.gguf"));
}

TEST(ChooseHubFilesTest, QuantisationsAreWholeWordsInAnyCase) {
  EXPECT_THAT(Chosen(kMany, "q4_k_m"), ElementsAre("m-Q4_K_M.gguf"));
  EXPECT_THAT(Chosen(kMany, "Q4_K"), ElementsAre("m-Q4_K.gguf"));
  EXPECT_THAT(Chosen(kMany, "iq4_xs"), ElementsAre("m-IQ4_XS.gguf"));
  EXPECT_THAT(Chosen(kMany, "Q4_XS"), ElementsAre(HasSubstr("has no \"Q4_XS\"")));
}

TEST(ChooseHubFilesTest, FilesAreFoundByPathAndName) {
  EXPECT_THAT(Chosen({"a/m.gguf", "b/m.gguf"}, "b/m.gguf"), ElementsAre("b/m.gguf"));
  EXPECT_THAT(Chosen(kMany, "M-Q4_K_S"), ElementsAre("m-Q4_K_S.gguf"));
  EXPECT_THAT(Chosen(kMany, "mmproj-m-F16.gguf"), ElementsAre("mmproj-m-F16.gguf"));
}

TEST(ChooseHubFilesTest, AllPartsOfASetAreChosenInTheirOrder) {
  const std::vector<std::string> parts = {"Q8_0/m-00002-of-00002.gguf", "Q8_0/m-00001-of-00002.gguf"};
  EXPECT_THAT(Chosen(parts, ""), ElementsAre(parts[1], parts[0]));
  EXPECT_THAT(Chosen(parts, "q8_0"), ElementsAre(parts[1], parts[0]));
  EXPECT_THAT(Chosen(parts, "m-00002-of-00002.gguf"), ElementsAre(parts[1], parts[0]));
}

TEST(ChooseHubFilesTest, MissingPartsAreNamed) {
  EXPECT_THAT(Chosen({"m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}, ""),
              ElementsAre(HasSubstr("lacks part 2 of 3")));
}

TEST(ChooseHubFilesTest, SeveralModelsAreListedWithTheCommandToType) {
  const std::string error = Chosen(kMany, "")[0];
  EXPECT_THAT(error, HasSubstr("has several models; type for example `hearth pull hf:u/r:m-IQ4_XS.gguf`"));
  EXPECT_THAT(error, HasSubstr("m-Q4_K_M.gguf (1000 B)"));
  EXPECT_THAT(error, Not(HasSubstr("mmproj")));
  EXPECT_THAT(Chosen({"a/m.gguf", "b/m.gguf"}, "m.gguf"),
              ElementsAre(HasSubstr("several models of that name")));
}

TEST(ChooseHubFilesTest, ManyModelsMakeNoEndlessLine) {
  std::vector<std::string> paths;
  for (int i = 0; i < 1000; ++i) paths.push_back(absl::StrCat("m-", i, ".gguf"));
  EXPECT_LT(Chosen(paths, "")[0].size(), 4000u);
}

TEST(ChooseHubFilesTest, RepositoriesWithoutModelsSaySo) {
  EXPECT_THAT(Chosen({"README.md", "model.safetensors"}, ""), ElementsAre(HasSubstr("has no GGUF file")));
}

}  // namespace
}  // namespace hearth
