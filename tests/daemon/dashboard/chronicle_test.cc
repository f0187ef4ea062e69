#include "daemon/dashboard/chronicle.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

HostView Host(const std::string& name) {
  HostView host;
  host.name = name;
  host.state = HostState::kAlive;
  return host;
}

// A chronicle that somebody listens to, and waits for its news.
class Listener {
 public:
  explicit Listener(Chronicle& chronicle) : chronicle_(chronicle) {
    number_ = chronicle_.Listen([this] {
      MutexLock lock(&mutex_);
      told_ = true;
      changed_.SignalAll();
    });
  }
  ~Listener() { chronicle_.Forget(number_); }

  // All news until one has this text.
  std::string ReadUntil(const std::string& text) {
    std::string news;
    for (;;) {
      news += chronicle_.NewsSince(seen_);
      if (news.find(text) != std::string::npos) return news;
      MutexLock lock(&mutex_);
      while (!told_) changed_.Wait(&mutex_);
      told_ = false;
    }
  }

 private:
  Chronicle& chronicle_;
  int number_ = 0;
  Chronicle::Seen seen_;
  Mutex mutex_;
  CondVar changed_;
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
};

ChronicleOptions Quick() {
  ChronicleOptions options;
  options.interval = options.idle_interval = absl::Milliseconds(1);
  return options;
}

TEST(ChronicleTest, TellsOfAHostThatComes) {
  Served served;
  Chronicle chronicle(served.server->InProcessChannel(), Quick());
  Listener listener(chronicle);
  listener.ReadUntil("event: state\ndata: {\"cluster\":");
  served.cluster.Set({.hosts = {Host("attic")}, .links = {}, .transfers = {}, .plans = {}});
  EXPECT_THAT(listener.ReadUntil("attic is there"), HasSubstr("\"state\":\"HOST_STATE_ALIVE\""));
}

TEST(ChronicleTest, ListenerThatHasSeenAllGetsNothingTwice) {
  Served served;
  Chronicle chronicle(served.server->InProcessChannel(), Quick());
  Listener(chronicle).ReadUntil("fake is ready");
  Chronicle::Seen seen;
  EXPECT_THAT(chronicle.NewsSince(seen), HasSubstr("fake is ready"));
  EXPECT_THAT(chronicle.NewsSince(seen), Not(HasSubstr("fake is ready")));
}

TEST(ChronicleTest, KeepsABoundedNumberOfEvents) {
  Served served;
  Chronicle chronicle(served.server->InProcessChannel(), Quick());
  ClusterSnapshot crowd;
  for (size_t i = 0; i < 2 * Chronicle::kEvents; ++i)
    crowd.hosts.push_back(Host(absl::StrCat("host", i, ".")));
  served.cluster.Set(crowd);
  Listener(chronicle).ReadUntil(absl::StrCat("host", 2 * Chronicle::kEvents - 1, ". is there"));
  Chronicle::Seen seen;
  EXPECT_THAT(chronicle.NewsSince(seen), Not(HasSubstr("host1. is there")));
}

TEST(ChronicleTest, CoordinatorThatDoesNotAnswerIsSaid) {
  auto served = std::make_unique<Served>();
  const std::string address = served->server->address();
  Chronicle chronicle(Connect(address), Quick());
  Listener listener(chronicle);
  listener.ReadUntil("fake is ready");
  served.reset();
  EXPECT_THAT(listener.ReadUntil("event: away"), HasSubstr("\"message\":"));
}

TEST(ChronicleTest, RestsWhileNobodyListensWhereItIsTold) {
  Served served;
  ChronicleOptions options = Quick();
  options.always = false;
  Chronicle chronicle(served.server->InProcessChannel(), options);
  Chronicle::Seen seen;
  EXPECT_EQ(chronicle.NewsSince(seen), "");
  Listener(chronicle).ReadUntil("fake is ready");
}

TEST(ChronicleTest, TakesABoundedNumberOfListeners) {
  Served served;
  Chronicle chronicle(served.server->InProcessChannel(), Quick());
  for (size_t i = 0; i < Chronicle::kListeners; ++i) EXPECT_NE(chronicle.Listen([] {}), 0);
  EXPECT_EQ(chronicle.Listen([] {}), 0);
  chronicle.Forget(1);
  EXPECT_NE(chronicle.Listen([] {}), 0);
}

TEST(ChronicleTest, ListenersHearOfTheEnd) {
  Served served;
  Chronicle chronicle(served.server->InProcessChannel(), Quick());
  bool told_of_end = false;
  chronicle.Listen([&] { told_of_end = chronicle.ended(); });
  chronicle.Stop();
  EXPECT_TRUE(told_of_end);
  EXPECT_EQ(chronicle.Listen([] {}), 0);
}

}  // namespace
}  // namespace hearth
