#include "daemon/membership/pauses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "daemon/identity/host_id.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class PausesTest : public ::testing::Test {
 protected:
  PausesTest()
      : dir_(absl::StrCat(::testing::TempDir(), "pauses-", ::getpid(), "-",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(dir_);
  }
  ~PausesTest() override { std::filesystem::remove_all(dir_); }

  Pauses Open() const { return Pauses::Open(dir_).value(); }

  const std::string dir_;
  const std::string b_ = HostId({1}).Text(), c_ = HostId({2}).Text();
  const absl::Time now_ = absl::FromUnixSeconds(1'000'000);
};

TEST_F(PausesTest, OutliveTheProgram) {
  {
    Pauses pauses = Open();
    EXPECT_THAT(pauses.Now(now_), IsEmpty());
    ASSERT_TRUE(pauses.Pause(b_, absl::InfiniteFuture(), now_).ok());
    ASSERT_TRUE(pauses.Pause(c_, now_ + absl::Hours(2), now_).ok());
  }
  EXPECT_THAT(Open().Now(now_),
              ElementsAre(Pair(b_, absl::InfiniteFuture()), Pair(c_, now_ + absl::Hours(2))));
}

TEST_F(PausesTest, ThoseThatAreOverCountNoMore) {
  Pauses pauses = Open();
  ASSERT_TRUE(pauses.Pause(b_, now_ + absl::Seconds(1), now_).ok());
  EXPECT_THAT(pauses.Now(now_ + absl::Seconds(1)), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(pauses.Resume(b_, now_ + absl::Seconds(1))));
}

TEST_F(PausesTest, ResumedHostIsForgotten) {
  Pauses pauses = Open();
  ASSERT_TRUE(pauses.Pause(b_, absl::InfiniteFuture(), now_).ok());
  ASSERT_TRUE(pauses.Resume(b_, now_).ok());
  EXPECT_THAT(Open().Now(now_), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(pauses.Resume(b_, now_)));
}

TEST_F(PausesTest, DamagedFileSaysWhatToDo) {
  for (const std::string& text : {std::string("garbage"), b_ + " soon", b_ + " 5 6", std::string("x 5"),
                                  b_ + " 99999999999999999999"}) {
    std::ofstream(dir_ + "/paused_hosts") << text << "\n";
    const auto pauses = Pauses::Open(dir_);
    EXPECT_EQ(pauses.status().code(), absl::StatusCode::kFailedPrecondition) << text;
    EXPECT_THAT(std::string(pauses.status().message()), HasSubstr("delete it")) << text;
  }
}

TEST_F(PausesTest, WhatCannotBeWrittenDownChangesNothing) {
  Pauses pauses = Open();
  std::filesystem::create_directories(dir_ + "/paused_hosts");
  EXPECT_FALSE(pauses.Pause(b_, absl::InfiniteFuture(), now_).ok());
  EXPECT_THAT(pauses.Now(now_), IsEmpty());
}

}  // namespace
}  // namespace hearth
