#include "engine/base/timeline.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using Kind = Timeline::Kind;

TEST(TimelineTest, SpanAddsWhatLastsAsLongAsItself) {
  Timeline timeline;
  const Timeline::Clock::time_point before = Timeline::Clock::now();
  {
    const Timeline::Scope scope(&timeline);
    const Timeline::Span outer(Kind::kComputed, "cpu", [] { return "ffn 0"; });
    const Timeline::Span inner(Kind::kAwaited, "disk", [] { return "block 0"; });
  }
  const std::vector<Timeline::Event> events = timeline.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].device, "disk") << "what ends first comes first";
  EXPECT_EQ(events[1].what, "ffn 0");
  EXPECT_LE(before, events[1].begin);
  EXPECT_LE(events[1].begin, events[0].begin);
  EXPECT_LE(events[0].end, events[1].end);
}

TEST(TimelineTest, NothingIsRecordedWhereNobodyWantsIt) {
  bool named = false;
  {
    const Timeline::Span span(Kind::kComputed, "cpu", [&] {
      named = true;
      return "ffn 0";
    });
  }
  EXPECT_FALSE(named);
  EXPECT_EQ(Timeline::Current(), nullptr);
}

TEST(TimelineTest, ScopesEndInTurnAndAreTheirThreadsOwn) {
  Timeline first, second;
  const Timeline::Scope scope(&first);
  {
    const Timeline::Scope inner(&second);
    EXPECT_EQ(Timeline::Current(), &second);
    std::thread([] { EXPECT_EQ(Timeline::Current(), nullptr); }).join();
    const Timeline::Scope none(nullptr);
    EXPECT_EQ(Timeline::Current(), nullptr);
  }
  EXPECT_EQ(Timeline::Current(), &first);
}

TEST(TimelineTest, SeveralThreadsAddToOne) {
  Timeline timeline;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&timeline] {
      const Timeline::Scope scope(&timeline);
      for (int j = 0; j < 100; ++j)
        const Timeline::Span span(Kind::kComputed, "cpu", [] { return "output"; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(timeline.events().size(), 400u);
}

}  // namespace
}  // namespace hearth
