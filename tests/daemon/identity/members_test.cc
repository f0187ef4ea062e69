#include "daemon/identity/members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Member MakeMember(uint8_t seed, const std::string& name, Role role = Role::kHost) {
  HostId::Digest digest;
  digest.fill(seed);
  return {HostId(digest), role, name, absl::FromUnixSeconds(1795000000 + seed)};
}

TEST(Members, ComeBackFromTheirText) {
  Members members;
  ASSERT_TRUE(members.Add(MakeMember(1, "living room")).ok());
  ASSERT_TRUE(members.Add(MakeMember(2, "anna", Role::kAdmin)).ok());
  const auto read = Members::Parse(members.Format());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->List(), ElementsAre(MakeMember(2, "anna", Role::kAdmin), MakeMember(1, "living room")));
  EXPECT_TRUE(Members::Parse("")->List().empty());
}

Member MakeApiMember(uint8_t seed, const std::string& name, Role role) {
  Member member = MakeMember(seed, name, role);
  member.api_key = true;
  member.expires = absl::InfiniteFuture();
  return member;
}

TEST(Members, OwnersOfKeysForHttpComeBackFromTheirText) {
  Members members;
  ASSERT_TRUE(members.Add(MakeApiMember(1, "laptop of anna", Role::kClient)).ok());
  ASSERT_TRUE(members.Add(MakeApiMember(2, "berta", Role::kAdmin)).ok());
  ASSERT_TRUE(members.Add(MakeMember(3, "carl", Role::kAdmin)).ok());
  EXPECT_EQ(Members::Parse(members.Format())->List(), members.List());
}

TEST(Members, KeyForHttpIsFoundByItsIdAlone) {
  Members members;
  const Member key = MakeApiMember(1, "anna", Role::kClient), certificate = MakeMember(2, "b", Role::kAdmin);
  ASSERT_TRUE(members.Add(key).ok());
  ASSERT_TRUE(members.Add(certificate).ok());
  ASSERT_NE(members.FindApiKey(key.id), nullptr);
  EXPECT_EQ(*members.FindApiKey(key.id), key);
  EXPECT_EQ(members.FindApiKey(certificate.id), nullptr);
  EXPECT_EQ(members.FindApiKey(MakeMember(3, "c").id), nullptr);
}

TEST(Members, DamagedLineIsNamed) {
  Members members;
  ASSERT_TRUE(members.Add(MakeMember(1, "b")).ok());
  for (const char* line : {"host", "host X 1 b", "king A 1 b", "api- X never b", "\x01"}) {
    EXPECT_THAT(Members::Parse(members.Format() + line).status().message(), HasSubstr("line 2 ")) << line;
  }
}

TEST(Members, AreFoundByNameAndIdAmongTheirRolesAlone) {
  Members members;
  const Member host = MakeMember(1, "b");
  ASSERT_TRUE(members.Add(host).ok());
  ASSERT_TRUE(members.Add(MakeMember(2, "b", Role::kClient)).ok());
  for (const std::string& who : {std::string("b"), host.id.Short(), host.id.Text()}) {
    EXPECT_EQ(members.Find(who, {Role::kHost}).value(), host) << who;
  }
  EXPECT_THAT(members.Find("c", {Role::kHost}).status().message(), HasSubstr("there are: b"));
  EXPECT_EQ(members.Find("b", {Role::kAdmin}).status().code(), absl::StatusCode::kNotFound);
}

TEST(Members, TwoOfANameHaveToBeToldApart) {
  Members members;
  ASSERT_TRUE(members.Add(MakeMember(1, "b")).ok());
  ASSERT_TRUE(members.Add(MakeMember(2, "b")).ok());
  const absl::Status status = members.Find("b", {Role::kHost}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(MakeMember(2, "b").id.Short()));
}

TEST(Members, SameKeyComesInPlaceOfItself) {
  Members members;
  ASSERT_TRUE(members.Add(MakeMember(1, "old")).ok());
  ASSERT_TRUE(members.Add(MakeMember(1, "new")).ok());
  EXPECT_THAT(members.List(), ElementsAre(MakeMember(1, "new")));
  members.Remove(MakeMember(1, "").id);
  EXPECT_EQ(members.Find(MakeMember(1, "").id), nullptr);
}

}  // namespace
}  // namespace hearth
