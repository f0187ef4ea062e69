#include "daemon/etcd/etcd_store.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/etcd/etcd_process.h"
#include "tests/daemon/state/kept_request.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

constexpr char kLeaderKey[] = "test/leader";

class EtcdStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    HEARTH_SKIP_WITHOUT_ETCD();
    etcd_ = std::make_unique<EtcdProcesses>();
    client_ = etcd_->Connect();
    store_ = Open(TakeLead());
  }
  // Makes the leader's key anew, as an election would: who had it before leads no more.
  Fence TakeLead() {
    etcdserverpb::TxnRequest remove, put;
    remove.add_success()->mutable_request_delete_range()->set_key(kLeaderKey);
    EXPECT_TRUE(client_->Commit(remove).ok());
    put.add_success()->mutable_request_put()->set_key(kLeaderKey);
    return {kLeaderKey, client_->Commit(put)->header().revision()};
  }
  std::unique_ptr<EtcdStore> Open(const Fence& fence, uint8_t secret = 1) {
    return std::make_unique<EtcdStore>(*client_, Sealer(Sealer::Secret{secret}), "test/", fence);
  }
  void Write(const RequestChanges& changes) {
    const absl::Status status = store_->Write(changes);
    EXPECT_TRUE(status.ok()) << status;
  }

  std::unique_ptr<EtcdProcesses> etcd_;
  std::unique_ptr<EtcdClient> client_;
  std::unique_ptr<EtcdStore> store_;
};

TEST_F(EtcdStoreTest, AllOfARequestComesBack) {
  Write(PutOf(RequestToKeep("one", {5, 6})));
  const auto read = Open({kLeaderKey})->Requests();
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_THAT(*read, SizeIs(1));
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

TEST_F(EtcdStoreTest, TokensAreAppendedAndRemovedWithTheirRequest) {
  Write(PutOf(RequestToKeep("one", {1})));
  RequestChanges more;
  more.appended.push_back({{"caller", "one"}, 1, {2, 3}, absl::FromUnixMicros(9)});
  Write(more);
  more.appended = {{{"caller", "one"}, 3, {4}, absl::FromUnixMicros(10)}};
  Write(more);
  EXPECT_THAT(store_->Requests()->front().tokens, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(store_->Requests()->front().used, absl::FromUnixMicros(10));
  Write(PutOf(RequestToKeep("one", {9})));
  EXPECT_THAT(store_->Requests()->front().tokens, ElementsAre(9));
  RequestChanges removed;
  removed.removed.push_back({"caller", "one"});
  removed.put.push_back(RequestToKeep("one"));
  Write(removed);
  EXPECT_THAT(store_->Requests()->front().tokens, IsEmpty());
  removed.put.clear();
  Write(removed);
  EXPECT_THAT(*store_->Requests(), IsEmpty());
  EXPECT_THAT(*client_->ReadAll("test/requests/", 10), IsEmpty());
}

TEST_F(EtcdStoreTest, TokensBehindAMissingPieceAreNotTaken) {
  Write(PutOf(RequestToKeep("one", {1})));
  RequestChanges behind;
  behind.appended.push_back({{"caller", "one"}, 5, {6}, absl::Now()});
  Write(behind);
  EXPECT_THAT(store_->Requests()->front().tokens, ElementsAre(1));
}

TEST_F(EtcdStoreTest, MoreThanOneTransactionTakesIsWritten) {
  RequestChanges changes;
  for (int i = 0; i < 300; ++i) changes.put.push_back(RequestToKeep(absl::StrCat("request", i)));
  for (int i = 0; i < 8; ++i) {
    changes.put.push_back(RequestToKeep(absl::StrCat("large", i)));
    changes.put.back().content = std::string(400'000, 'x');
  }
  Write(changes);
  EXPECT_THAT(*store_->Requests(), SizeIs(308));
  RequestChanges forget;
  forget.forget_all = true;
  forget.put.push_back(RequestToKeep("two"));
  Write(forget);
  ASSERT_THAT(*store_->Requests(), SizeIs(1));
}

TEST_F(EtcdStoreTest, WhatIsTooLargeForItIsLeftOut) {
  KeptRequest large = RequestToKeep("large");
  large.content = std::string(3 << 20, 'x');
  RequestChanges changes = PutOf(large);
  changes.put.push_back(RequestToKeep("small"));
  Write(changes);
  ASSERT_THAT(*store_->Requests(), SizeIs(1));
  EXPECT_EQ(store_->Requests()->front().name.id, "small");
}

TEST_F(EtcdStoreTest, ModelsAndFilesOfTheHomeAreKept) {
  ASSERT_TRUE(
      store_->PutModel("a", {"/models/a.gguf", "throughput:4", "/models/small.gguf", {"/models/lora.gguf"}})
          .ok());
  ASSERT_TRUE(store_->PutModel("b", {"/models/b.gguf"}).ok());
  ASSERT_TRUE(store_->RemoveModel("b").ok());
  EXPECT_THAT(
      *store_->Models(),
      ElementsAre(Pair(
          "a", KeptModel{"/models/a.gguf", "throughput:4", "/models/small.gguf", {"/models/lora.gguf"}})));
  EXPECT_FALSE(store_->Read("members")->has_value());
  ASSERT_TRUE(store_->Write("members", "somebody\n").ok());
  EXPECT_EQ(store_->Read("members")->value_or(""), "somebody\n");
}

TEST_F(EtcdStoreTest, HostsAreKeptForWhoLeadsNext) {
  ASSERT_TRUE(store_->PutHost("A", "one").ok());
  ASSERT_TRUE(store_->PutHost("B", "two").ok());
  ASSERT_TRUE(store_->PutHost("A", "three").ok());
  ASSERT_TRUE(store_->RemoveHost("B").ok());
  const auto next = Open(TakeLead());
  EXPECT_THAT(*next->Hosts(), ElementsAre(Pair("A", "three")));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->PutHost("A", "four")));
  EXPECT_THAT(*next->Hosts(), ElementsAre(Pair("A", "three")));
}

TEST_F(EtcdStoreTest, NothingOfItCanBeReadInEtcd) {
  KeptRequest request = RequestToKeep("the-id-is-a-secret");
  request.content = "a text of its user";
  Write(PutOf(request));
  ASSERT_TRUE(store_->PutModel("name", {"/a/path"}).ok());
  ASSERT_TRUE(store_->PutHost("an-id", "cards of a host").ok());
  ASSERT_TRUE(store_->Write("authority-key.pem", "BEGIN PRIVATE KEY").ok());
  const auto all = client_->ReadAll("test/", 100);
  ASSERT_THAT(*all, SizeIs(5));  // the leader's key among them
  for (const auto& value : *all) {
    for (const char* secret : {"the-id", "caller", "its user", "/a/path", "cards of", "PRIVATE"}) {
      EXPECT_THAT(value.key(), Not(HasSubstr(secret)));
      EXPECT_THAT(value.value(), Not(HasSubstr(secret)));
    }
  }
}

TEST_F(EtcdStoreTest, AnotherSecretIsSaidAndReadsNothing) {
  Write(PutOf(RequestToKeep("one")));
  ASSERT_TRUE(store_->Write("members", "x").ok());
  const auto other = Open({kLeaderKey}, 2);
  EXPECT_THAT(other->Requests().status().message(), HasSubstr("--state-store-secret"));
  EXPECT_TRUE(absl::IsFailedPrecondition(other->Read("members").status()));
}

TEST_F(EtcdStoreTest, OneWhoLostTheLeadWritesNothing) {
  ASSERT_TRUE(store_->PutModel("a", {"/a"}).ok());
  const auto next = Open(TakeLead());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->PutModel("a", {"/b"})));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->RemoveModel("a")));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Write("members", "x")));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Write(PutOf(RequestToKeep("one")))));
  EXPECT_THAT(*next->Models(), ElementsAre(Pair("a", KeptModel{"/a"})));
  EXPECT_THAT(*next->Requests(), IsEmpty());
  EXPECT_TRUE(next->PutModel("a", {"/c"}).ok());
}

TEST_F(EtcdStoreTest, OneWhoNeverLedWritesNothing) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Open({kLeaderKey})->PutModel("a", {"/a"})));
  EXPECT_TRUE(absl::IsFailedPrecondition(Open({"test/nobody"})->PutModel("a", {"/a"})));
}

}  // namespace
}  // namespace hearth
