#include "daemon/standby/succession.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/daemon/identity/temporary_state.h"
#include "tests/daemon/standby/standby_server.h"

namespace hearth {
namespace {

v1::Leader Place(const std::string& host, const std::string& encrypted) {
  v1::Leader place;
  place.set_host(host);
  place.set_address("127.0.0.1:1");
  place.set_encrypted_address(encrypted);
  return place;
}

TEST(Succession, IsReadAsItWasWritten) {
  const TemporaryState state;
  ASSERT_EQ(ReadSuccession(state.path()).value(), std::nullopt);
  v1::Succession succession;
  succession.set_home("H");
  succession.set_term(3);
  *succession.mutable_leader() = Place("b", "10.0.0.2:7771");
  ASSERT_TRUE(WriteSuccession(state.path(), succession).ok());
  EXPECT_EQ(ReadSuccession(state.path()).value()->SerializeAsString(), succession.SerializeAsString());
}

TEST(Succession, OneThatIsDamagedSaysWhatToDo) {
  const TemporaryState state;
  for (const char* text : {"", "term: 3", "home: \"H\" term: x", "\x01\x02"}) {
    std::ofstream(state.path() + "/succession") << text;
    const auto read = ReadSuccession(state.path());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition) << text;
    EXPECT_NE(read.status().message().find("delete it"), std::string::npos) << read.status();
  }
}

TEST(Succession, AStandbyThatMovesTakesItsOwnPlace) {
  v1::Succession succession;
  EXPECT_TRUE(NoteStandby(Place("b", "10.0.0.2:1"), succession));
  EXPECT_FALSE(NoteStandby(Place("b", "10.0.0.2:1"), succession));
  EXPECT_TRUE(NoteStandby(Place("b", "10.0.0.2:2"), succession));
  ASSERT_EQ(succession.standbys_size(), 1);
  EXPECT_EQ(AddressOf(succession.standbys(0)), "10.0.0.2:2");
}

TEST(Succession, AStandbyThatNobodyCouldReachIsNotNoted) {
  v1::Succession succession;
  EXPECT_FALSE(NoteStandby(Place("", "10.0.0.2:1"), succession));
  EXPECT_FALSE(NoteStandby(Place("b", "10.0.0.2:0"), succession));
  EXPECT_FALSE(NoteStandby(Place("b", "10.0.0.2:1,10.0.0.3:1"), succession));
  EXPECT_FALSE(NoteStandby(v1::Leader(), succession));
  EXPECT_EQ(succession.standbys_size(), 0);
}

TEST(Succession, OfTooManyStandbysTheFirstGoes) {
  v1::Succession succession;
  for (int i = 0; i <= kMostStandbys; ++i) NoteStandby(Place(absl::StrCat("b", i), "10.0.0.2:1"), succession);
  EXPECT_EQ(succession.standbys_size(), kMostStandbys);
  EXPECT_EQ(succession.standbys(0).host(), "b1");
}

TEST(Succession, WhoLeadsGivesWayToALaterTermOfItsHomeAlone) {
  EXPECT_TRUE(Outranks(LeadOf("a", "H", 2), {"H", 1}, "b"));
  EXPECT_FALSE(Outranks(LeadOf("a", "H", 1), {"H", 2}, "b"));
  EXPECT_FALSE(Outranks(LeadOf("a", "other", 2), {"H", 1}, "b"));
  EXPECT_FALSE(Outranks(LeadOf("a", "H", 2, /*leads=*/false), {"H", 1}, "b"));
}

TEST(Succession, OfTwoInOneTermExactlyOneGivesWay) {
  EXPECT_TRUE(Outranks(LeadOf("b", "H", 1), {"H", 1}, "a"));
  EXPECT_FALSE(Outranks(LeadOf("a", "H", 1), {"H", 1}, "b"));
  EXPECT_FALSE(Outranks(LeadOf("a", "H", 1), {"H", 1}, "a"));  // itself
}

TEST(Term, IsComparedWithThoseOfTheSameHome) {
  EXPECT_TRUE(Term({"H", 1}).IsBefore({"H", 2}));
  EXPECT_FALSE(Term({"H", 2}).IsBefore({"H", 2}));
  EXPECT_FALSE(Term({"H", 1}).IsBefore({"other", 2}));
  EXPECT_FALSE(Term({"", 1}).IsBefore({"", 2}));
}

}  // namespace
}  // namespace hearth
