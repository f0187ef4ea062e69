#include "daemon/etcd/etcd_address.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;

TEST(EtcdAddressTest, MembersAndPrefixAreRead) {
  const auto one = ParseEtcdAddress("etcd://127.0.0.1:2379");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(one->endpoints, ElementsAre("127.0.0.1:2379"));
  EXPECT_EQ(one->prefix, "hearth/");
  const auto three = ParseEtcdAddress("etcd://a:1,[::1]:2,c.example:3/homes/ours/");
  ASSERT_TRUE(three.ok()) << three.status();
  EXPECT_THAT(three->endpoints, ElementsAre("a:1", "[::1]:2", "c.example:3"));
  EXPECT_EQ(three->prefix, "homes/ours/");
}

TEST(EtcdAddressTest, WhatIsNoAddressIsRefused) {
  for (const char* text :
       {"", "etcd", "http://a:1", "etcd://", "etcd:///x", "etcd://a", "etcd://a:0", "etcd://a:70000",
        "etcd://a:1,", "etcd://a:1,,b:2", "etcd://a:1/\x1b[2J", "etcd://a:1/x y", "etcd://a:1?x=1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseEtcdAddress(text).status())) << text;
  }
  EXPECT_FALSE(ParseEtcdAddress("etcd://a:1/" + std::string(1000, 'x')).ok());
  std::string many = "etcd://a:1";
  for (int i = 0; i < 100; ++i) many += ",a:1";
  EXPECT_FALSE(ParseEtcdAddress(many).ok());
}

}  // namespace
}  // namespace hearth
