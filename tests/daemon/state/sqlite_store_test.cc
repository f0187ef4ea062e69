#include "daemon/state/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/state/kept_request.h"
#include "tests/daemon/state/temporary_store.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

void RunSql(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
}

TEST(SqliteStoreTest, AllOfARequestComesBack) {
  const TemporaryStore folder;
  ASSERT_TRUE(folder.Open()->Write(PutOf(RequestToKeep("one", {5, 6}))).ok());
  const auto read = folder.Open()->Requests();
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 1u);
  const KeptRequest expected = RequestToKeep("one", {5, 6});
  const KeptRequest& request = read->front();
  EXPECT_EQ(request.name, expected.name);
  EXPECT_EQ(request.kind, expected.kind);
  EXPECT_EQ(request.content, expected.content);
  EXPECT_EQ(request.digest, expected.digest);
  EXPECT_EQ(request.seed, expected.seed);
  EXPECT_EQ(request.arrived, expected.arrived);
  EXPECT_EQ(request.used, expected.used);
  EXPECT_EQ(request.tokens, expected.tokens);
}

TEST(SqliteStoreTest, TokensAreAppendedAndRemovedWithTheirRequest) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->Write(PutOf(RequestToKeep("one", {1}))).ok());
  RequestChanges more;
  more.appended.push_back({{"caller", "one"}, 1, {2, 3}, absl::FromUnixMicros(9)});
  more.put.push_back(RequestToKeep("two"));
  ASSERT_TRUE(store->Write(more).ok());
  EXPECT_THAT(store->Requests()->back().tokens, ElementsAre(1, 2, 3));
  EXPECT_EQ(store->Requests()->back().used, absl::FromUnixMicros(9));
  RequestChanges removed;
  removed.removed.push_back({"caller", "one"});
  ASSERT_TRUE(store->Write(removed).ok());
  ASSERT_TRUE(store->Write(PutOf(RequestToKeep("one"))).ok());
  const auto left = store->Requests();
  ASSERT_EQ(left->size(), 2u);
  for (const KeptRequest& request : *left) EXPECT_THAT(request.tokens, IsEmpty());
}

TEST(SqliteStoreTest, TokensBehindAMissingPieceAreNotTaken) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->Write(PutOf(RequestToKeep("one", {1}))).ok());
  RequestChanges behind;
  behind.appended.push_back({{"caller", "one"}, 5, {6}, absl::Now()});
  ASSERT_TRUE(store->Write(behind).ok());
  EXPECT_THAT(store->Requests()->front().tokens, ElementsAre(1));
}

TEST(SqliteStoreTest, ForgetsEverythingAtOnce) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->Write(PutOf(RequestToKeep("one", {1}))).ok());
  RequestChanges changes = PutOf(RequestToKeep("two"));
  changes.forget_all = true;
  ASSERT_TRUE(store->Write(changes).ok());
  ASSERT_EQ(store->Requests()->size(), 1u);
  EXPECT_EQ(store->Requests()->front().name.id, "two");
}

TEST(SqliteStoreTest, AChangeThatFailsLeavesNothingOfItself) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  RequestChanges changes = PutOf(RequestToKeep("one", {1}));
  changes.appended.push_back({{"caller", "one"}, 0, {2}, absl::Now()});  // the place is taken
  EXPECT_FALSE(store->Write(changes).ok());
  EXPECT_THAT(*store->Requests(), IsEmpty());
}

TEST(SqliteStoreTest, ModelsAreReplacedAndRemoved) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->PutModel("a", {"/m/a.gguf"}).ok());
  ASSERT_TRUE(store->PutModel("b", {"/m/b.gguf"}).ok());
  ASSERT_TRUE(store->PutModel("a", {"/m/c.gguf", "prompt:512"}).ok());
  ASSERT_TRUE(store->RemoveModel("b").ok());
  EXPECT_THAT(*folder.Open()->Models(), ElementsAre(Pair("a", KeptModel{"/m/c.gguf", "prompt:512"})));
}

TEST(SqliteStoreTest, HostsAreReplacedAndRemoved) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->PutHost("a", "one").ok());
  ASSERT_TRUE(store->PutHost("b", "two").ok());
  ASSERT_TRUE(store->PutHost("a", std::string("\0bytes\xff", 7)).ok());
  ASSERT_TRUE(store->RemoveHost("b").ok());
  EXPECT_THAT(*folder.Open()->Hosts(), ElementsAre(Pair("a", std::string("\0bytes\xff", 7))));
}

TEST(SqliteStoreTest, ModelsThatNobodyCanHaveWrittenAreLeftOut) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->PutModel("\x1b[2J", {"/m/a.gguf"}).ok());
  ASSERT_TRUE(store->PutModel("b", {"/m/b.gguf"}).ok());
  EXPECT_THAT(*store->Models(), ElementsAre(Pair("b", KeptModel{"/m/b.gguf"})));
}

TEST(SqliteStoreTest, OnlyItsOwnerMayReadIt) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  ASSERT_TRUE(store->PutModel("a", {"/m/a.gguf"}).ok());
  for (const char* end : {"", "-wal"}) {
    struct stat status = {};
    ASSERT_EQ(stat((folder.path() + end).c_str(), &status), 0) << end;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << end;
  }
}

TEST(SqliteStoreTest, WhatWasRemovedIsNoLongerInTheFile) {
  const TemporaryStore folder;
  {
    const auto store = folder.Open();
    KeptRequest secret = RequestToKeep("one");
    secret.content = "a very secret prompt";
    ASSERT_TRUE(store->Write(PutOf(secret)).ok());
    RequestChanges removed;
    removed.removed.push_back(secret.name);
    ASSERT_TRUE(store->Write(removed).ok());
  }
  std::ifstream file(folder.path(), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty());
  EXPECT_FALSE(absl::StrContains(bytes, "secret prompt"));
}

TEST(SqliteStoreTest, DamagedFilesAreRefusedWithAdvice) {
  const TemporaryStore folder;
  std::ofstream(folder.path()) << "this is no database, however long it may be; " << std::string(8192, 'x');
  const absl::Status status = OpenSqliteStore(folder.path()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder.path() + ": "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("move the file away"));
}

TEST(SqliteStoreTest, PagesThatAreDamagedAreNoticedAtTheStart) {
  const TemporaryStore folder;
  {
    const auto store = folder.Open();
    for (int i = 0; i < 50; ++i) {
      KeptRequest request = RequestToKeep(absl::StrCat("r", i));
      request.content = std::string(3000, 'x');
      ASSERT_TRUE(store->Write(PutOf(request)).ok());
    }
  }
  std::fstream file(folder.path(), std::ios::binary | std::ios::in | std::ios::out);
  for (int page = 4; page < 12; ++page) {
    file.seekp(page * 4096);
    file << std::string(200, '\xff');
  }
  file.close();
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenSqliteStore(folder.path()).status()));
}

TEST(SqliteStoreTest, TheFormerVersionsModelsStayAndGetObjectives) {
  const TemporaryStore folder;
  ASSERT_TRUE(folder.Open()->PutModel("a", {"/m/a.gguf"}).ok());
  RunSql(folder.path(),
         "ALTER TABLE models DROP COLUMN draft; ALTER TABLE models DROP COLUMN adapters; ALTER TABLE models "
         "DROP COLUMN objective; DROP TABLE hosts; "
         "PRAGMA user_version = 1");
  const auto store = folder.Open();
  ASSERT_TRUE(store->PutModel("b", {"/m/b.gguf", "throughput:8"}).ok());
  EXPECT_THAT(*folder.Open()->Models(), ElementsAre(Pair("a", KeptModel{"/m/a.gguf"}),
                                                    Pair("b", KeptModel{"/m/b.gguf", "throughput:8"})));
}

TEST(SqliteStoreTest, ModelsOfTheVersionWithoutHostsStayAndHostsAreKept) {
  const TemporaryStore folder;
  ASSERT_TRUE(folder.Open()->PutModel("a", {"/m/a.gguf", "prompt:512"}).ok());
  RunSql(folder.path(),
         "ALTER TABLE models DROP COLUMN draft; ALTER TABLE models DROP COLUMN adapters; DROP TABLE hosts; "
         "PRAGMA user_version = 2");
  ASSERT_TRUE(folder.Open()->PutHost("a", "one").ok());
  EXPECT_THAT(*folder.Open()->Models(), ElementsAre(Pair("a", KeptModel{"/m/a.gguf", "prompt:512"})));
  EXPECT_THAT(*folder.Open()->Hosts(), ElementsAre(Pair("a", "one")));
}

TEST(SqliteStoreTest, TheLastVersionsModelsStayAndGetDraftsAndAdapters) {
  const TemporaryStore folder;
  ASSERT_TRUE(folder.Open()->PutModel("a", {"/m/a.gguf", "prompt:512"}).ok());
  ASSERT_TRUE(folder.Open()->PutHost("a", "one").ok());
  RunSql(folder.path(),
         "ALTER TABLE models DROP COLUMN draft; ALTER TABLE models DROP COLUMN adapters; PRAGMA user_version "
         "= 3");
  ASSERT_TRUE(folder.Open()
                  ->PutModel("b", {"/m/b.gguf", "", "/m/draft.gguf", {"/m/x.gguf", "/m/y.gguf,scale=0.5"}})
                  .ok());
  EXPECT_THAT(
      *folder.Open()->Models(),
      ElementsAre(
          Pair("a", KeptModel{"/m/a.gguf", "prompt:512"}),
          Pair("b", KeptModel{"/m/b.gguf", "", "/m/draft.gguf", {"/m/x.gguf", "/m/y.gguf,scale=0.5"}})));
  EXPECT_THAT(*folder.Open()->Hosts(), ElementsAre(Pair("a", "one")));
}

TEST(SqliteStoreTest, ANewerVersionsFileIsLeftAlone) {
  const TemporaryStore folder;
  ASSERT_TRUE(folder.Open()->PutModel("a", {"/m/a.gguf"}).ok());
  RunSql(folder.path(), "PRAGMA user_version = 5");
  const absl::Status status = OpenSqliteStore(folder.path()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another version of Hearth"));
}

TEST(SqliteStoreTest, AFolderThatIsNotThereIsSaid) {
  const absl::Status status = OpenSqliteStore("/nowhere/state.sqlite").status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("let hearthd's user write"));
}

TEST(SqliteStoreTest, AFullFileIsSaidAndWhatWasThereStays) {
  const TemporaryStore folder;
  const auto store = folder.Open({.max_bytes = 20 * 4096});
  ASSERT_TRUE(store->Write(PutOf(RequestToKeep("one", {1}))).ok());
  KeptRequest large = RequestToKeep("two");
  large.content = std::string(200'000, 'x');
  const absl::Status status = store->Write(PutOf(large));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("make room"));
  EXPECT_EQ(store->Requests()->size(), 1u);
  EXPECT_TRUE(store->Write(PutOf(RequestToKeep("three"))).ok());
}

TEST(SqliteStoreTest, NoMoreRequestsAreReadThanThereMayBe) {
  const TemporaryStore folder;
  const auto store = folder.Open({.max_requests = 2});
  for (const char* id : {"one", "two", "three"}) ASSERT_TRUE(store->Write(PutOf(RequestToKeep(id))).ok());
  EXPECT_EQ(store->Requests()->size(), 2u);
}

}  // namespace
}  // namespace hearth
