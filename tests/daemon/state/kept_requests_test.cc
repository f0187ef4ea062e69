#include "daemon/state/kept_requests.h"

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/state/temporary_store.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Runner final : public RequestRun {
 public:
  void GiveUp(const absl::Status& status) override {
    MutexLock lock(&mutex_);
    status_ = status;
  }
  absl::Status status() {
    MutexLock lock(&mutex_);
    return status_;
  }

 private:
  Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Fails while it is told to.
class UnreliableStore final : public StateStore {
 public:
  explicit UnreliableStore(std::unique_ptr<StateStore> store) : store_(std::move(store)) {}
  absl::StatusOr<std::vector<KeptRequest>> Requests() override { return store_->Requests(); }
  absl::Status Write(const RequestChanges& changes) override {
    return failing ? absl::ResourceExhaustedError("the disk is full") : store_->Write(changes);
  }
  absl::StatusOr<std::map<std::string, KeptModel>> Models() override { return store_->Models(); }
  absl::Status PutModel(const std::string&, const KeptModel&) override { return absl::OkStatus(); }
  absl::Status RemoveModel(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::map<std::string, std::string>> Hosts() override { return store_->Hosts(); }
  absl::Status PutHost(const std::string&, const std::string&) override { return absl::OkStatus(); }
  absl::Status RemoveHost(const std::string&) override { return absl::OkStatus(); }

  std::atomic<bool> failing = false;

 private:
  const std::unique_ptr<StateStore> store_;
};

std::string Id(int number) { return absl::StrCat("request-", 1'000'000'000 + number); }

KeptRequest Request(int number, const std::string& content = "content") {
  KeptRequest request;
  request.name = {"", Id(number)};
  request.content = content;
  request.digest = "sha256:00ff";
  return request;
}

class KeptRequestsTest : public testing::Test {
 protected:
  KeptRequests::Begun Begin(KeptRequests& requests, KeptRequest request) {
    const auto begun = requests.Begin(std::move(request), runner_);
    EXPECT_TRUE(begun.ok()) << begun.status();
    return begun.value_or(KeptRequests::Begun());
  }
  // A request with these tokens, of a run that is over.
  void Keep(KeptRequests& requests, int number, const std::vector<int32_t>& tokens) {
    const auto runner = std::make_shared<Runner>();
    const auto begun = requests.Begin(Request(number), runner);
    requests.Append(Request(number).name, begun->run, 0, tokens);
  }
  KeptRequests::Clock clock() {
    return [this] { return absl::FromUnixSeconds(seconds_); };
  }

  std::shared_ptr<Runner> runner_ = std::make_shared<Runner>();
  std::atomic<int64_t> seconds_ = 1000;
};

TEST_F(KeptRequestsTest, IdsAreNamesThatNobodyGuesses) {
  EXPECT_TRUE(KeptRequests::CheckId("0123456789abcdef").ok());
  EXPECT_TRUE(KeptRequests::CheckId(std::string(128, '-')).ok());
  for (const std::string& id :
       {std::string(), std::string("short"), std::string(129, 'a'), std::string("0123456789abcde\n"),
        std::string("0123456789abcde\0", 16), std::string("0123456789abcde/"),
        std::string("0123456789\xc3\xa4"
                    "bcdef")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(KeptRequests::CheckId(id))) << id;
  }
}

TEST_F(KeptRequestsTest, ARequestSentAgainGoesOnWithItsTokensAndSeed) {
  KeptRequests requests(nullptr);
  const auto first = Begin(requests, Request(1));
  EXPECT_FALSE(first.joined);
  ASSERT_TRUE(first.request.seed.has_value());
  requests.Append(Request(1).name, first.run, 0, {7, 8});
  const auto second = Begin(requests, Request(1));
  EXPECT_TRUE(second.joined);
  EXPECT_THAT(second.request.tokens, ElementsAre(7, 8));
  EXPECT_EQ(second.request.seed, first.request.seed);
}

TEST_F(KeptRequestsTest, OneWhoResumesTakesOver) {
  KeptRequests requests(nullptr);
  const auto before = std::make_shared<Runner>();
  const auto first = requests.Begin(Request(1), before);
  const auto second = Begin(requests, Request(1));
  EXPECT_TRUE(absl::IsAborted(before->status())) << before->status();
  requests.Append(Request(1).name, first->run, 0, {1, 2, 3});  // no longer its own
  requests.Append(Request(1).name, second.run, 0, {4});
  requests.End(Request(1).name, first->run, absl::InternalError("x"));
  EXPECT_THAT(requests.Find(Request(1).name)->tokens, ElementsAre(4));
  EXPECT_TRUE(runner_->status().ok());
}

TEST_F(KeptRequestsTest, AnotherRequestOfTheSameIdIsRefusedAndDisturbsNobody) {
  KeptRequests requests(nullptr);
  KeptRequest first = Request(1);
  first.seed = 5;
  Begin(requests, first);
  KeptRequest chat = Request(1), seed = Request(1);
  chat.kind = RequestKind::kChat;
  seed.seed = 6;
  for (const KeptRequest& other : {Request(1, "other"), chat, seed}) {
    EXPECT_TRUE(absl::IsAlreadyExists(requests.Begin(other, runner_).status()));
  }
  KeptRequest model = Request(1);
  model.digest = "sha256:11";
  EXPECT_TRUE(absl::IsFailedPrecondition(requests.Begin(model, runner_).status()));
  EXPECT_TRUE(runner_->status().ok());
}

TEST_F(KeptRequestsTest, TheIdOfAnotherCallerIsUnknown) {
  KeptRequests requests(nullptr);
  KeptRequest mine = Request(1);
  mine.name.caller = "me";
  Begin(requests, mine);
  EXPECT_TRUE(absl::IsNotFound(requests.Find({"you", Id(1)}).status()));
  EXPECT_TRUE(absl::IsNotFound(requests.Find({"", Id(1)}).status()));
  requests.Cancel({"you", Id(1)});
  EXPECT_TRUE(requests.Find({"me", Id(1)}).ok());
  KeptRequest theirs = Request(1, "other");
  theirs.name.caller = "you";
  EXPECT_FALSE(Begin(requests, theirs).joined);
}

TEST_F(KeptRequestsTest, TokensThatAreKnownOrFollowAGapAreNotAppended) {
  KeptRequests requests(nullptr);
  const auto begun = Begin(requests, Request(1));
  const RequestName& name = begun.request.name;
  requests.Append(name, begun.run, 0, {1, 2});
  requests.Append(name, begun.run, 1, {9, 3});
  requests.Append(name, begun.run, 0, {9});
  requests.Append(name, begun.run, 7, {9});
  EXPECT_THAT(requests.Find(name)->tokens, ElementsAre(1, 2, 3));
  requests.SetTokens(name, begun.run, {5});
  EXPECT_THAT(requests.Find(name)->tokens, ElementsAre(5));
}

TEST_F(KeptRequestsTest, WhatWouldFailAgainIsForgotten) {
  KeptRequests requests(nullptr);
  const auto ends = [&](const absl::Status& status, const std::vector<int32_t>& tokens) {
    const auto begun = Begin(requests, Request(1));
    requests.SetTokens(begun.request.name, begun.run, tokens);
    requests.End(begun.request.name, begun.run, status);
    return !requests.Find(begun.request.name).ok();
  };
  EXPECT_FALSE(ends(absl::OkStatus(), {1}));
  EXPECT_FALSE(ends(absl::CancelledError("x"), {1}));
  EXPECT_FALSE(ends(absl::UnavailableError("x"), {}));
  EXPECT_FALSE(ends(absl::ResourceExhaustedError("x"), {1}));
  EXPECT_TRUE(ends(absl::ResourceExhaustedError("x"), {}));
  EXPECT_TRUE(ends(absl::DeadlineExceededError("x"), {1}));
  EXPECT_TRUE(ends(absl::InvalidArgumentError("x"), {1}));
}

TEST_F(KeptRequestsTest, CancelEndsTheRunAndForgets) {
  KeptRequests requests(nullptr);
  Begin(requests, Request(1));
  requests.Cancel(Request(1).name);
  EXPECT_TRUE(absl::IsCancelled(runner_->status()));
  EXPECT_TRUE(absl::IsNotFound(requests.Find(Request(1).name).status()));
  requests.Cancel(Request(1).name);
}

TEST_F(KeptRequestsTest, TheOldGoAfterAWhileAndThoseThatRunStay) {
  KeptRequests requests(nullptr, {}, clock());
  Begin(requests, Request(1));
  Keep(requests, 2, {1});
  seconds_ += 601;
  Begin(requests, Request(3));
  EXPECT_TRUE(requests.Find(Request(1).name).ok());
  EXPECT_FALSE(requests.Find(Request(2).name).ok());
}

TEST_F(KeptRequestsTest, OfTooManyThoseUnusedForLongestGo) {
  KeptRequests requests(nullptr, {.requests = 3}, clock());
  for (int i = 0; i < 3; ++i, ++seconds_) Keep(requests, i, {1});
  Keep(requests, 0, {1, 2});
  ++seconds_;
  Keep(requests, 3, {});
  EXPECT_EQ(requests.size(), 3u);
  EXPECT_FALSE(requests.Find(Request(1).name).ok());
  EXPECT_TRUE(requests.Find(Request(0).name).ok());
}

TEST_F(KeptRequestsTest, BytesAreBounded) {
  KeptRequests requests(nullptr, {.bytes = 1000}, clock());
  for (int i = 0; i < 5; ++i, ++seconds_) Begin(requests, Request(i, std::string(400, 'x')));
  EXPECT_EQ(requests.size(), 2u);
}

TEST_F(KeptRequestsTest, TheNextDaemonHasThem) {
  const TemporaryStore folder;
  uint64_t seed = 0;
  {
    const auto store = folder.Open();
    KeptRequests requests(store.get());
    const auto begun = Begin(requests, Request(1));
    seed = *begun.request.seed;
    for (int i = 0; i < 100; ++i) requests.Append(begun.request.name, begun.run, static_cast<size_t>(i), {i});
    Keep(requests, 2, {1});
    requests.Cancel(Request(2).name);
    Keep(requests, 3, {1, 2, 3});
    const auto again = Begin(requests, Request(3));
    requests.SetTokens(again.request.name, again.run, {4});
  }
  const auto store = folder.Open();
  KeptRequests requests(store.get());
  EXPECT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests.Find(Request(1).name)->tokens.size(), 100u);
  EXPECT_EQ(requests.Find(Request(1).name)->seed, seed);
  EXPECT_THAT(requests.Find(Request(3).name)->tokens, ElementsAre(4));
}

TEST_F(KeptRequestsTest, WhatIsWrittenIsThereWithoutAnEnd) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  KeptRequests requests(store.get());
  const auto begun = Begin(requests, Request(1));
  requests.Append(begun.request.name, begun.run, 0, {1});
  requests.AwaitWritten();
  requests.Append(begun.request.name, begun.run, 1, {2, 3});
  requests.AwaitWritten();
  EXPECT_THAT(store->Requests()->front().tokens, ElementsAre(1, 2, 3));
  requests.Cancel(begun.request.name);
  requests.AwaitWritten();
  EXPECT_THAT(*store->Requests(), IsEmpty());
}

TEST_F(KeptRequestsTest, AStoreThatFailsCostsNoRequestAndGetsAllOnceItWorks) {
  const TemporaryStore folder;
  UnreliableStore store(folder.Open());
  KeptRequests requests(&store, {.write_after = absl::Milliseconds(1), .retry_after = absl::Milliseconds(5)});
  Keep(requests, 1, {1});
  Keep(requests, 2, {1});
  requests.AwaitWritten();
  store.failing = true;
  const auto begun = Begin(requests, Request(1));
  requests.Append(begun.request.name, begun.run, 1, {2});
  requests.Cancel(Request(2).name);
  requests.AwaitWritten();
  EXPECT_THAT(requests.Find(Request(1).name)->tokens, ElementsAre(1, 2));
  store.failing = false;
  while (store.Requests()->size() != 1) std::this_thread::yield();
  EXPECT_THAT(store.Requests()->front().tokens, ElementsAre(1, 2));
}

TEST_F(KeptRequestsTest, IdsThatSomebodyHasWrittenIntoTheStoreAreNotTaken) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  RequestChanges changes;
  changes.put.push_back(Request(1));
  changes.put.back().name.id = "\x1b[2J";
  changes.put.back().used = absl::Now();
  ASSERT_TRUE(store->Write(changes).ok());
  KeptRequests requests(store.get());
  EXPECT_EQ(requests.size(), 0u);
}

}  // namespace
}  // namespace hearth
