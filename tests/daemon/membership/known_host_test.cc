#include "daemon/membership/known_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "daemon/identity/host_id.h"

namespace hearth {
namespace {

KnownHost GoodHost() {
  KnownHost host;
  host.report.host = "study";
  host.report.version = "1.2.3";
  host.report.tensor_address = "192.168.1.20:7773";
  host.report.identity = {HostId({7}).Text(), "boot-1", "home-1"};
  host.report.capacity.devices = {{.name = "cpu",
                                   .kind = "cpu",
                                   .memory_budget_bytes = 1 << 30,
                                   .threads = 4,
                                   .read_bytes_per_s = 2e10,
                                   .operations_per_s = 1e11}};
  host.report.network_cards = {{{2, 0, 0, 0, 0, 1}, true}, {{2, 0, 0, 0, 0, 2}, std::nullopt}};
  host.link = {.round_trip_us = 90, .bytes_per_s = 1.2e8};
  return host;
}

bool IsRefused(const KnownHost& host) { return absl::IsDataLoss(FromStored(ToStored(host)).status()); }

TEST(KnownHost, IsKeptWhole) {
  const KnownHost host = GoodHost();
  const absl::StatusOr<KnownHost> back = FromStored(ToStored(host));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->report.host, "study");
  EXPECT_EQ(back->report.identity, host.report.identity);
  EXPECT_EQ(back->report.capacity, host.report.capacity);
  EXPECT_EQ(back->report.network_cards, host.report.network_cards);
  EXPECT_EQ(back->link, host.link);
}

TEST(KnownHost, WhatIsNoHostIsRefused) {
  for (const std::string& content :
       {std::string(), std::string("\xff\xff\xff"), ToStored(GoodHost()).substr(9)})
    EXPECT_TRUE(absl::IsDataLoss(FromStored(content).status())) << content.size();
}

TEST(KnownHost, HostWithoutACardOrAnIdIsRefused) {
  KnownHost host = GoodHost();
  host.report.network_cards.clear();
  EXPECT_TRUE(IsRefused(host));
  host = GoodHost();
  host.report.identity.id = "no id";
  EXPECT_TRUE(IsRefused(host));
}

TEST(KnownHost, LinkThatCannotBeIsRefused) {
  for (const double figure :
       {0.0, -1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    KnownHost host = GoodHost();
    host.link.bytes_per_s = figure;
    EXPECT_TRUE(IsRefused(host)) << figure;
    host = GoodHost();
    host.link.round_trip_us = figure;
    EXPECT_TRUE(IsRefused(host)) << figure;
  }
}

}  // namespace
}  // namespace hearth
