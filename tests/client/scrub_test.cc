#include "client/command/scrub.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(ScrubTest, KnownWordsAreReplacedWhereTheyStandAlone) {
  const PrivateWords words = {{"anna", "USER"}, {"annas-laptop", "host-1"}, {"/home/anna", "HOME"}};
  EXPECT_EQ(Scrub("annas-laptop is lost; anna's savannah, /home/anna/x and hosts{host=\"annas-laptop\"} 1\n",
                  words),
            "host-1 is lost; USER's savannah, HOME/x and hosts{host=\"host-1\"} 1\n");
}

TEST(ScrubTest, WordsOfOtherLettersAreReplaced) {
  EXPECT_EQ(Scrub("Büro: Bürostuhl (Büro)", {{"Büro", "host-1"}}), "host-1: Bürostuhl (host-1)");
}

TEST(ScrubTest, KeysCodesAndPemAreSecrets) {
  EXPECT_EQ(Scrub("key hearth-abcdefgh234567abcdefgh234567abcd, code", {}), "key SECRET, code");
  EXPECT_EQ(Scrub("hearthd --join hearthabcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwxyz", {}),
            "hearthd --join SECRET");
  EXPECT_EQ(Scrub("a -----BEGIN PRIVATE KEY-----\nMIG\nH\n-----END PRIVATE KEY-----\nb", {}), "a SECRET\nb");
  EXPECT_EQ(Scrub("a -----BEGIN PRIVATE KEY-----\nMIG", {}), "a SECRET");
  EXPECT_EQ(Scrub("host ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG.", {}),
            "host ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG.");
  EXPECT_EQ(Scrub("host ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG-ABCDEFG", {}), "host ID");
}

TEST(ScrubTest, AddressesOfOthersAndPathsOfPeopleAreReplaced) {
  EXPECT_EQ(Scrub("10.0.0.7:7771 [fe80::1:2]:5 127.0.0.1:7770 0.0.0.0:1 [::1]:2", {}),
            "ADDRESS:7771 [ADDRESS]:5 127.0.0.1:7770 0.0.0.0:1 [::1]:2");
  EXPECT_EQ(Scrub("network card 0a:00:1f:ff:10:01, not set", {}), "network card ADDRESS, not set");
  EXPECT_EQ(
      Scrub("/home/anna/m.gguf '/data/tax returns' ~/m /etc/hearth/hearthd.toml /proc/meminfo /metrics", {}),
      "PATH 'PATH returns' PATH /etc/hearth/hearthd.toml /proc/meminfo /metrics");
}

TEST(ScrubTest, FiguresTimesAndDigestsStay) {
  const std::string text =
      "2026-11-27 15:28:59  plan  Plan 3 of m is in use: 20 ms per token expected.\n"
      "hearth_share_neurons_computed_total{kind=\"cpu\"} 1e+09\n"
      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 version 535.183.01, 1/2 of 3 "
      "MB/s\n";
  EXPECT_EQ(Scrub(text, {}), text);
}

TEST(ScrubTest, EmptyAndOddTextsAreTaken) {
  EXPECT_EQ(Scrub("", {{"a", "b"}}), "");
  EXPECT_EQ(Scrub(":: /// --- \xff", {}), ":: PATH --- \xff");
}

}  // namespace
}  // namespace hearth
