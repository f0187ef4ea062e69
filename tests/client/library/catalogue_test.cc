#include "client/library/catalogue.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

std::string Entry(const std::string& name, const std::string& more = "") {
  return absl::StrCat(R"({"name": ")", name, R"(", "source": "hf:u/r:Q8_0", "figures": {"layers": 2})", more,
                      "}");
}
std::string Models(const std::string& entries) { return absl::StrCat(R"({"models": [)", entries, "]}"); }

// What is said of a file that is refused.
std::string Complaint(const std::string& json) {
  const auto models = ParseCatalogue(json);
  EXPECT_TRUE(absl::IsInvalidArgument(models.status())) << json << models.status();
  return std::string(models.status().message());
}

class CatalogueFilesTest : public testing::Test {
 protected:
  CatalogueFilesTest()
      : folder_(std::filesystem::path(testing::TempDir()) / absl::StrCat("catalogue-", getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~CatalogueFilesTest() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  const std::filesystem::path folder_;
};

TEST(ParseCatalogueTest, ReadsWhatAModelHas) {
  const std::string digest(64, 'a');
  const auto models = ParseCatalogue(Models(Entry(
      "m-1.b_c", absl::StrCat(R"(, "about": "A model", "computed_bytes": 12, "sha256": ")", digest, "\""))));
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 1u);
  EXPECT_EQ(models->front().name, "m-1.b_c");
  EXPECT_EQ(models->front().about, "A model");
  EXPECT_EQ(models->front().source, "hf:u/r:Q8_0");
  EXPECT_EQ(models->front().computed_bytes, 12u);
  EXPECT_EQ(models->front().sha256, digest);
  EXPECT_EQ(models->front().figures, R"({"layers":2})");
}

TEST(ParseCatalogueTest, WhatIsNoCatalogueIsRefused) {
  EXPECT_EQ(Complaint(""), "it is no JSON");
  EXPECT_EQ(Complaint("{\"models\": ["), "it is no JSON");
  EXPECT_EQ(Complaint("[]"), "it has no list \"models\"");
  EXPECT_EQ(Complaint("{\"models\": 3}"), "it has no list \"models\"");
  EXPECT_EQ(Complaint(Models("7")), "an entry of \"models\" is no object");
  EXPECT_EQ(Complaint(Models("{}")), "name is missing");
}

TEST(ParseCatalogueTest, ErrorsNameTheModelAndWhatIsWrong) {
  EXPECT_THAT(Complaint(Models(Entry("../m"))), HasSubstr("model \"../m\": its name"));
  EXPECT_THAT(Complaint(Models(Entry(""))), HasSubstr("its name"));
  EXPECT_THAT(Complaint(Models(Entry("a\\u001bb"))), HasSubstr("model \"a\\x1bb\""));
  EXPECT_THAT(Complaint(Models(Entry("m", R"(, "sha256": "12")"))), HasSubstr("model \"m\": sha256"));
  EXPECT_THAT(Complaint(Models(Entry("m", R"(, "about": 3)"))), HasSubstr("about is no text"));
  EXPECT_THAT(Complaint(Models(Entry("m", R"(, "computed_bytes": -3)"))), HasSubstr("no whole number"));
  EXPECT_THAT(Complaint(Models(Entry("m", R"(, "sha265": "x")"))),
              HasSubstr("\"sha265\" is nothing that is known"));
  EXPECT_THAT(Complaint(Models(R"({"name": "m", "figures": {}})")), HasSubstr("source is missing"));
  EXPECT_THAT(Complaint(Models(R"({"name": "m", "source": "file:///etc/passwd", "figures": {}})")),
              HasSubstr("neither hf:USER/REPO:FILE nor a URL"));
  EXPECT_THAT(Complaint(Models(R"({"name": "m", "source": "hf:u/r"})")), HasSubstr("figures is no object"));
}

TEST(ParseCatalogueTest, NamesAreNoSources) {
  EXPECT_TRUE(IsCatalogueName("llama-3.1-8b"));
  for (const char* source : {"", "hf:u/r", "https://a/m.gguf", "a/b", ".m", "-m", "m\n"})
    EXPECT_FALSE(IsCatalogueName(source)) << source;
}

TEST_F(CatalogueFilesTest, LaterFilesTakeThePlaceOfModelsOfTheirNames) {
  Write("a.json", Models(absl::StrCat(Entry("m"), ",", Entry("n"))));
  Write("b.json", Models(Entry("m", R"(, "about": "newer")")));
  Write("notes.txt", "no catalogue");
  const std::string own = folder_ / "own";
  std::filesystem::rename(Write("own.json", Models(Entry("o"))), own);
  const auto models = ReadCatalogues({folder_, own});
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 3u);
  EXPECT_EQ((*models)[0].about, "newer");
  EXPECT_EQ((*models)[1].name, "n");
  EXPECT_EQ((*models)[2].name, "o");
  EXPECT_TRUE(FindInCatalogue(*models, "o").ok());
  const absl::Status missing = FindInCatalogue(*models, "p").status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("hearth models --catalogue"));
}

TEST_F(CatalogueFilesTest, BadFileIsNamed) {
  const std::string path = Write("bad.json", "{");
  const absl::Status status = ReadCatalogues({folder_}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("the catalogue ", path, ": it is no JSON; mend it")));
}

TEST_F(CatalogueFilesTest, FileThatIsNotThereIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(ReadCatalogues({folder_ / "none.json"}).status()));
}

}  // namespace
}  // namespace hearth
