#include "daemon/etcd/etcd_client.h"

#include <grpcpp/grpcpp.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/identity/home.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/etcdserverpb/rpc.grpc.pb.h"
#include "tests/daemon/etcd/etcd_process.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using testing::HasSubstr;

etcdserverpb::TxnRequest PutOf(const std::string& key, const std::string& value) {
  etcdserverpb::TxnRequest request;
  request.add_success()->mutable_request_put()->set_key(key);
  request.mutable_success(0)->mutable_request_put()->set_value(value);
  return request;
}

TEST(EtcdClientTest, PrefixesHaveEnds) {
  EXPECT_EQ(EndOfPrefix("a/"), "a0");
  EXPECT_EQ(EndOfPrefix("a\xff"), "b");
  EXPECT_EQ(EndOfPrefix("\xff\xff"), std::string(1, '\0'));
}

TEST(EtcdClientTest, NobodyThereIsSaidInOneLine) {
  EtcdClient client({.endpoints = {"127.0.0.1:1"}});
  const absl::Status status = client.Get("key").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("etcd at 127.0.0.1:1 cannot be reached: start it"));
}

class EtcdClientProcessTest : public testing::Test {
 protected:
  void SetUp() override { HEARTH_SKIP_WITHOUT_ETCD(); }
};

TEST_F(EtcdClientProcessTest, KeysAreReadPageByPage) {
  const EtcdProcesses etcd;
  const auto client = etcd.Connect();
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(client->Commit(PutOf(absl::StrCat("a/", i), "x")).ok());
  ASSERT_TRUE(client->Commit(PutOf("b/0", "x")).ok());
  for (const int page : {1, 3, 7, 100}) {
    const auto values = client->ReadAll("a/", page);
    ASSERT_TRUE(values.ok()) << values.status();
    ASSERT_EQ(values->size(), 7u) << page;
    EXPECT_EQ(values->back().key(), "a/6");
  }
  EXPECT_EQ((*client->Get("b/0"))->value(), "x");
  EXPECT_FALSE((*client->Get("b/1")).has_value());
}

TEST_F(EtcdClientProcessTest, AMemberThatIsAwayIsPassedOver) {
  const EtcdProcesses etcd;
  EtcdClient client({.endpoints = {"127.0.0.1:1", etcd.endpoints()[0]}});
  EXPECT_TRUE(client.Commit(PutOf("key", "value")).ok());
  EXPECT_TRUE(client.Get("key").ok());
}

TEST_F(EtcdClientProcessTest, OneThatDoesNotAnswerIsWaitedForAWhile) {
  const EtcdProcesses etcd;
  const auto client = etcd.Connect(absl::Milliseconds(300));
  ASSERT_TRUE(client->Get("key").ok());
  etcd.Freeze(0);
  const absl::Status status = client->Get("key").status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("has not answered for 300ms"));
  etcd.Thaw(0);
}

TEST_F(EtcdClientProcessTest, ALeaseEndsAndTakesItsKeyAlong) {
  const EtcdProcesses etcd;
  const auto client = etcd.Connect();
  const auto lease = client->GrantLease(absl::Seconds(100));
  ASSERT_TRUE(lease.ok()) << lease.status();
  etcdserverpb::TxnRequest put = PutOf("key", "value");
  put.mutable_success(0)->mutable_request_put()->set_lease(lease->id);
  ASSERT_TRUE(client->Commit(put).ok());
  EXPECT_EQ(client->RenewLease(lease->id).value_or(absl::ZeroDuration()), absl::Seconds(100));
  ASSERT_TRUE(client->RevokeLease(lease->id).ok());
  EXPECT_FALSE((*client->Get("key")).has_value());
  EXPECT_TRUE(absl::IsNotFound(client->RenewLease(lease->id).status()));
}

TEST_F(EtcdClientProcessTest, ACertificateOfAnotherAuthorityIsSaid) {
  const TemporaryState ours, theirs;
  const auto home = Home::Open(ours.path(), "a"), other = Home::Open(theirs.path(), "b");
  const auto key = (*home)->MakeServerKey({.hosts = {"localhost"}, .addresses = {"127.0.0.1"}});
  ASSERT_TRUE(key.ok()) << key.status();
  std::ofstream(ours.path() + "/cert.pem") << key->certificate_pem;
  std::ofstream(ours.path() + "/key.pem") << key->private_key_pem;
  const EtcdProcesses etcd(1, {}, ours.path());
  EtcdClient right({.endpoints = etcd.endpoints(), .authority_pem = key->authority_pem});
  absl::Status status;
  for (int i = 0; i < 200 && !(status = right.Get("key").status()).ok(); ++i)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_TRUE(status.ok()) << status;
  EtcdClient wrong({.endpoints = etcd.endpoints(), .authority_pem = (*other)->key().authority_pem});
  status = wrong.Get("key").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("--state-store-ca"));
  EtcdClient plain({.endpoints = etcd.endpoints()});
  status = plain.Get("key").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("if it speaks TLS, give --state-store-ca"));
}

TEST_F(EtcdClientProcessTest, WhatWasCompactedIsSaid) {
  const EtcdProcesses etcd;
  const auto client = etcd.Connect();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->Commit(PutOf("key", absl::StrCat(i))).ok());
  const auto stub =
      etcdserverpb::KV::NewStub(grpc::CreateChannel(etcd.endpoints()[0], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  etcdserverpb::CompactionRequest compaction;
  compaction.set_revision((*client->Get("key"))->mod_revision());
  etcdserverpb::CompactionResponse compacted;
  ASSERT_TRUE(stub->Compact(&context, compaction, &compacted).ok());
  etcdserverpb::RangeRequest former;
  former.set_key("key");
  former.set_revision(2);
  const absl::Status status = client->Range(former).status();
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
  EXPECT_EQ((*client->Get("key"))->value(), "4");
}

TEST_F(EtcdClientProcessTest, ASpaceThatIsUsedUpIsSaid) {
  const EtcdProcesses etcd(1, {"--quota-backend-bytes", "4194304"});
  const auto client = etcd.Connect();
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i)
    status = client->Commit(PutOf(absl::StrCat("key", i), std::string(500'000, 'x'))).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("etcdctl alarm disarm"));
  EXPECT_TRUE(client->Get("key0").ok());
}

}  // namespace
}  // namespace hearth
