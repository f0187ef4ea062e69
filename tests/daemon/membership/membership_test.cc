#include "daemon/membership/membership.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hearth {
namespace {

// Plays a story. Each line is "TIME VERB [HOST [WORDS]]"; what follows from it is written below it as "  ->
// ...". A host's verbs mean its newest session, "old-sync" and "old-leave" its first.
class Story {
 public:
  std::string Play(const std::string& script) {
    std::ostringstream out;
    for (const absl::string_view line : absl::StrSplit(script, '\n', absl::SkipWhitespace())) {
      if (absl::StrContains(line, "->")) continue;
      out << line << '\n';
      const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 3));
      Do(std::stoull(words[0]), words[1], words.size() > 2 ? words[2] : "", words.size() > 3 ? words[3] : "",
         out);
      for (const Membership::Event& event : membership_.TakeEvents()) {
        out << "  -> " << event.host << " is " << HostStateName(event.state);
        if (!event.detail.empty()) out << ": " << event.detail;
        out << '\n';
      }
    }
    return out.str();
  }

 private:
  void Do(uint64_t now, const std::string& verb, const std::string& host, const std::string& rest,
          std::ostringstream& out) {
    if (verb == "join") {
      const auto session = membership_.Join(host, now);
      if (session.ok()) {
        newest_[host] = *session;
        first_.emplace(host, *session);
      } else {
        out << "  -> refused: " << session.status().message() << '\n';
      }
    } else if (verb == "sync" || verb == "old-sync") {
      if (!membership_.Sync(verb == "sync" ? newest_[host] : first_[host], now))
        out << "  -> session is over\n";
    } else if (verb == "leave" || verb == "old-leave") {
      membership_.Leave(verb == "leave" ? newest_[host] : first_[host], rest);
    } else if (verb == "measured") {
      membership_.LinkMeasured(newest_[host], rest);
    } else {
      membership_.Tick(now);
    }
  }

  Membership membership_{1200};
  std::map<std::string, Membership::Session> newest_;
  std::map<std::string, Membership::Session> first_;
};

// Plays the script and expects that it comes out as it is written.
void ExpectStory(const std::string& script) {
  std::string expected;
  for (const absl::string_view line : absl::StrSplit(script, '\n', absl::SkipWhitespace())) {
    absl::StrAppend(&expected, line, "\n");
  }
  EXPECT_EQ(Story().Play(script), expected);
}

TEST(Membership, HostJoinsIsMeasuredAndStays) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
10 sync b
200 measured b
  -> b is alive
250 sync b
1400 tick
1449 tick
)");
}

TEST(Membership, SilentHostIsLostAndReturns) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
100 measured b
  -> b is alive
1199 tick
1200 tick
  -> b is lost: no sync for 1200 ms
1300 sync b
  -> session is over
1400 join b
  -> b is joining: back; measuring the link
1500 measured b
  -> b is alive
)");
}

TEST(Membership, EndOfTheStreamLosesTheHostAtOnce) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
100 measured b
  -> b is alive
150 leave b its stream has ended
  -> b is lost: its stream has ended
160 leave b again
5000 tick
)");
}

TEST(Membership, HostThatNeverFinishesJoiningIsLostToo) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
100 measured b cannot be reached
  -> b is joining: cannot be reached
1100 measured b cannot be reached
1250 tick
  -> b is lost: no sync for 1250 ms
1300 measured b
)");
}

TEST(Membership, SecondHostOfTheSameNameIsRefusedWhileTheFirstLives) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
100 join b
  -> refused: a host called b is in the cluster already: give this one another --name
1300 tick
  -> b is lost: no sync for 1300 ms
1400 join b
  -> b is joining: back; measuring the link
)");
}

TEST(Membership, WhatComesFromAFormerSessionIsIgnored) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
50 leave b its stream has ended
  -> b is lost: its stream has ended
100 join b
  -> b is joining: back; measuring the link
150 old-leave b its stream has ended
200 old-sync b
  -> session is over
250 measured b
  -> b is alive
)");
}

TEST(Membership, OneLostHostLeavesTheOthersAlone) {
  ExpectStory(R"(
0 join b
  -> b is joining: new; measuring the link
0 join c
  -> c is joining: new; measuring the link
10 measured b
  -> b is alive
10 measured c
  -> c is alive
1000 sync c
1300 tick
  -> b is lost: no sync for 1300 ms
2200 tick
  -> c is lost: no sync for 1200 ms
)");
}

TEST(Membership, LossesOfAHostAreCounted) {
  Membership membership(1200);
  const auto losses = [&membership] { return membership.members().at("a").losses(); };
  ASSERT_TRUE(membership.Join("a", 0).ok());
  EXPECT_EQ(losses(), 0);
  membership.Tick(1200);
  EXPECT_EQ(losses(), 1);
  const auto session = membership.Join("a", 2000);
  ASSERT_TRUE(session.ok());
  EXPECT_EQ(losses(), 1);
  membership.Leave(*session, "it ended");
  EXPECT_EQ(losses(), 2);
}

TEST(Membership, HostWithoutANameIsRefused) {
  EXPECT_EQ(Membership(1200).Join("", 0).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Membership, WhereThereIsNoRoomTheHostThatWasLostFirstIsForgotten) {
  Membership membership(1000);
  std::vector<Membership::Session> sessions;
  for (uint64_t i = 0; i < Membership::kMost; ++i)
    sessions.push_back(membership.Join(absl::StrCat("h", i), i).value());
  EXPECT_EQ(membership.Join("new", 300).status().code(), absl::StatusCode::kResourceExhausted);
  membership.Leave(sessions[9], "gone");
  membership.Leave(sessions[7], "gone");
  EXPECT_TRUE(membership.Join("new", 300).ok());
  EXPECT_FALSE(membership.members().contains("h7"));
  EXPECT_TRUE(membership.members().contains("h9"));
  EXPECT_EQ(membership.Find(sessions[7]), nullptr);
  EXPECT_TRUE(membership.Join("newer", 300).ok());
  EXPECT_EQ(membership.Join("newest", 300).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(Membership, NextDeadlineIsThatOfTheHostThatIsSilentForLongest) {
  Membership membership(1200);
  EXPECT_FALSE(membership.NextDeadline().has_value());
  const auto b = membership.Join("b", 100);
  const auto c = membership.Join("c", 300);
  EXPECT_EQ(membership.NextDeadline(), 1300);
  EXPECT_TRUE(membership.Sync(*b, 500));
  EXPECT_EQ(membership.NextDeadline(), 1500);
  membership.Leave(*c, "gone");
  EXPECT_EQ(membership.NextDeadline(), 1700);
}

}  // namespace
}  // namespace hearth
