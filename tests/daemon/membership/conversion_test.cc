#include "daemon/membership/conversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "daemon/identity/host_id.h"
#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

v1::Shard GoodShard() {
  const ShardFixture fixture;
  return ToProto(fixture.Describe(3, [](const UnitId& unit) {
    return unit.number == 0 ? "a" : unit.number == 1 ? "b" : "";
  }));
}

// Expects that a changed shard is refused with a message about `field`.
template <class Change>
void ExpectRefused(Change change, const std::string& field) {
  v1::Shard shard = GoodShard();
  change(shard);
  const absl::StatusOr<ShardDescription> converted = FromProto(shard);
  EXPECT_EQ(converted.status().code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_THAT(std::string(converted.status().message()), HasSubstr(field));
}

TEST(ShardConversion, KeepsEverything) {
  const v1::Shard proto = GoodShard();
  const absl::StatusOr<ShardDescription> shard = FromProto(proto);
  ASSERT_TRUE(shard.ok()) << shard.status();
  EXPECT_EQ(ToProto(*shard).SerializeAsString(), proto.SerializeAsString());
  EXPECT_EQ(shard->units[0].device, "a");
  EXPECT_GT(shard->skeleton.bytes, 0u);
}

TEST(ShardConversion, EveryOptionIsKept) {
  ShardDescription shard;
  shard.epoch = 9;
  shard.model = "m";
  shard.model_digest = "sha256:m";
  shard.skeleton = {{1, 2, 3}, 77};
  shard.options = {SparsityMode::kPredicted, Arithmetic::kFloat32, 777, "rerope:window=256"};
  shard.decoder = {.sequences = 3, .context_length = 99, .max_rows = 17, .kv_type = KvType::kQ8_0};
  shard.units = {{"cpu", {UnitKind::kOutput, 0, 5}, {{4, 5}, 66}}};
  const absl::StatusOr<ShardDescription> back = FromProto(ToProto(shard));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->skeleton, shard.skeleton);
  EXPECT_EQ(back->options, shard.options);
  EXPECT_EQ(back->decoder, shard.decoder);
  EXPECT_EQ(back->units, shard.units);
}

TEST(ShardConversion, HostileCountsAndEnumsAreRefused) {
  ExpectRefused([](v1::Shard& s) { s.set_epoch(0); }, "epoch");
  ExpectRefused([](v1::Shard& s) { s.set_max_rows(0); }, "max_rows");
  ExpectRefused([](v1::Shard& s) { s.set_max_rows(~0u); }, "max_rows");
  ExpectRefused([](v1::Shard& s) { s.set_sequences(0); }, "sequences");
  ExpectRefused([](v1::Shard& s) { s.set_sequences(~0u); }, "sequences");
  ExpectRefused([](v1::Shard& s) { s.set_context_length(0); }, "context_length");
  ExpectRefused([](v1::Shard& s) { s.set_context_length(~0u); }, "context_length");
  ExpectRefused([](v1::Shard& s) { s.set_model_context_length(~0u); }, "model_context_length");
  ExpectRefused([](v1::Shard& s) { s.set_sparsity(v1::SPARSITY_UNSPECIFIED); }, "sparsity");
  ExpectRefused([](v1::Shard& s) { s.set_sparsity(static_cast<v1::Sparsity>(77)); }, "sparsity");
  ExpectRefused([](v1::Shard& s) { s.set_arithmetic(static_cast<v1::Arithmetic>(77)); }, "arithmetic");
  ExpectRefused([](v1::Shard& s) { s.set_kv_type(v1::KV_TYPE_UNSPECIFIED); }, "kv_type");
  ExpectRefused([](v1::Shard& s) { s.set_model(""); }, "model");
  ExpectRefused([](v1::Shard& s) { s.set_model_digest(std::string(1000, 'x')); }, "model_digest");
  ExpectRefused([](v1::Shard& s) { s.set_rope_scaling(std::string(1000, 'x')); }, "rope_scaling");
  ExpectRefused([](v1::Shard& s) { s.clear_skeleton(); }, "sha256");
}

TEST(ShardConversion, HostileUnitsAreRefused) {
  const auto change = [](auto edit) { return [edit](v1::Shard& s) { edit(*s.mutable_units(1)); }; };
  ExpectRefused(change([](v1::UnitPlacement& u) { u.set_device(""); }), "device");
  ExpectRefused(change([](v1::UnitPlacement& u) { u.set_kind(v1::UNIT_KIND_UNSPECIFIED); }), "kind");
  ExpectRefused(change([](v1::UnitPlacement& u) { u.set_kind(static_cast<v1::UnitKind>(9)); }), "kind");
  ExpectRefused(change([](v1::UnitPlacement& u) { u.mutable_bundle()->set_sha256("short"); }), "sha256");
  ExpectRefused(change([](v1::UnitPlacement& u) { u.mutable_bundle()->set_bytes(0); }), "bytes");
  ExpectRefused(change([](v1::UnitPlacement& u) { u.mutable_bundle()->set_bytes(~uint64_t{0}); }), "bytes");
}

WorkerReport GoodReport() {
  WorkerReport report;
  report.host = "b";
  report.version = "1";
  report.tensor_address = "127.0.0.1:1234";
  report.revision = 4;
  report.capacity = {8,
                     1000,
                     500,
                     2000,
                     {{"cpu", "cpu", 900, 100, 4, 2e10, 1e11, 3},
                      {"gpu0", "gpu", 0, 0, 0, 0, 0, 0},
                      {"gpu1", "gpu", 800, 10, 0, 1e12, 1e13, 5},
                      {"gpu2", "emulated-gpu", 700, 10, 0, 1e8, 1e9, 50}}};
  report.shards = {{7,
                    "m",
                    ShardPhase::kLoading,
                    "reading",
                    10,
                    20,
                    30,
                    {{"cpu", {1, 2}, {3, 4}, 5, 6, 7, {{1, 64, {0, 3}, {0.25f, 1}}}}}}};
  report.store = {1, 2, 3, 4};
  report.identity = {"0123", "boot-1", "boot-1:2:3"};
  report.problem = "the disk is full";
  report.clock_unix_ms = 1'800'000'000'000;
  report.network_cards = {{{2, 3, 4, 5, 6, 7}, true}, {{8, 3, 4, 5, 6, 7}, std::nullopt}};
  return report;
}

TEST(ReportConversion, KeepsEverything) {
  const v1::WorkerState proto = ToProto(GoodReport());
  const absl::StatusOr<WorkerReport> back = FromProto(proto);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToProto(*back).SerializeAsString(), proto.SerializeAsString());
  EXPECT_EQ(back->capacity, GoodReport().capacity);
  EXPECT_EQ(back->shards[0].devices[0].neurons_offered, (std::vector<uint64_t>{3, 4}));
  const LayerFiring& firing = back->shards[0].devices[0].firing[0];
  EXPECT_EQ(firing.groups, (std::vector<uint32_t>{0, 3}));
  EXPECT_EQ(firing.shares, (std::vector<float>{0.25f, 1}));
  EXPECT_EQ(back->shards[0].short_bytes, 30u);
}

TEST(ReportConversion, FiguresThatCannotBeAreRefused) {
  const auto refused = [](auto change) {
    v1::WorkerState proto = ToProto(GoodReport());
    change(proto);
    return FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument;
  };
  const auto cpu = [](v1::WorkerState& s) { return s.mutable_capacity()->mutable_devices(0); };
  EXPECT_TRUE(refused([](v1::WorkerState& s) { s.set_host(""); }));
  EXPECT_TRUE(refused([](v1::WorkerState& s) { s.set_host(std::string(300, 'h')); }));
  EXPECT_TRUE(refused([](v1::WorkerState& s) { s.clear_tensor_address(); }));
  EXPECT_TRUE(refused([](v1::WorkerState& s) { s.clear_capacity(); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { cpu(s)->set_kind("abacus"); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { cpu(s)->set_name("gpu0"); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { cpu(s)->set_read_bytes_per_second(0); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { cpu(s)->set_read_bytes_per_second(-1); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) {
    cpu(s)->set_operations_per_second(std::numeric_limits<double>::quiet_NaN());
  }));
  EXPECT_TRUE(
      refused([&](v1::WorkerState& s) { cpu(s)->set_dispatch_us(std::numeric_limits<double>::infinity()); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { cpu(s)->set_memory_budget_bytes(~uint64_t{0}); }));
  EXPECT_TRUE(
      refused([](v1::WorkerState& s) { s.mutable_shards(0)->set_phase(v1::SHARD_PHASE_UNSPECIFIED); }));
  EXPECT_TRUE(refused([](v1::WorkerState& s) {
    for (int i = 0; i < 5000; ++i) s.mutable_shards(0)->mutable_devices(0)->add_neurons_computed(1);
  }));
  const auto firing = [](v1::WorkerState& s) {
    return s.mutable_shards(0)->mutable_devices(0)->mutable_firing(0);
  };
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { firing(s)->set_layer(5000); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { firing(s)->set_rows(0); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { firing(s)->add_groups(4); }));
  EXPECT_TRUE(refused([&](v1::WorkerState& s) { firing(s)->set_shares(0, 100001); }));
}

TEST(ReportConversion, ClocksThatCannotBeCountAsNotTold) {
  for (const int64_t clock :
       {std::numeric_limits<int64_t>::min(), int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    v1::WorkerState proto = ToProto(GoodReport());
    EXPECT_EQ(FromProto(proto)->clock_unix_ms, 1'800'000'000'000);
    proto.set_clock_unix_ms(clock);
    EXPECT_EQ(FromProto(proto)->clock_unix_ms, 0) << clock;
  }
}

TEST(ReportConversion, NetworkCardsThatCannotBeAreRefused) {
  EXPECT_EQ(FromProto(ToProto(GoodReport()))->network_cards, GoodReport().network_cards);
  const auto refusal = [](const std::string& mac, int cards) {
    v1::WorkerState proto = ToProto(GoodReport());
    proto.clear_network_cards();
    for (int i = 0; i < cards; ++i) proto.add_network_cards()->set_mac(mac);
    return std::string(FromProto(proto).status().message());
  };
  const std::string good = "\x02\x01\x01\x01\x01\x01";
  EXPECT_EQ(refusal(good, 4), "");
  EXPECT_THAT(refusal(good, 5), HasSubstr("network_cards"));
  for (const std::string& mac : {std::string(), good.substr(1), good + "x", std::string(6, '\0'),
                                 std::string(6, '\xff'), "\x01" + good.substr(1), std::string(1 << 20, '\2')})
    EXPECT_THAT(refusal(mac, 1), HasSubstr("network_cards.mac")) << mac.size();
}

TEST(ReportConversion, NamesThatCannotBeShownAreRefusedAndDetailsMadePrintable) {
  const auto refused = [](auto change) {
    v1::WorkerState proto = ToProto(GoodReport());
    change(proto);
    return FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument;
  };
  for (const char* name : {"a\nb", "a\x1b[2J", "a\u202e", " "}) {
    EXPECT_TRUE(refused([&](v1::WorkerState& s) { s.set_host(name); }));
    EXPECT_TRUE(refused([&](v1::WorkerState& s) { s.mutable_shards(0)->set_model(name); }));
    EXPECT_TRUE(
        refused([&](v1::WorkerState& s) { s.mutable_shards(0)->mutable_devices(0)->set_device(name); }));
    EXPECT_TRUE(
        refused([&](v1::WorkerState& s) { s.mutable_capacity()->mutable_devices(0)->set_name(name); }));
    EXPECT_TRUE(refused([&](v1::WorkerState& s) { s.set_host_id(name); }));
  }
  v1::WorkerState proto = ToProto(GoodReport());
  proto.mutable_shards(0)->set_detail("reading\x1b[2J " + std::string(5000, 'x') + "ä");
  proto.set_problem("disk\nfull");
  const auto report = FromProto(proto);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->shards[0].detail.substr(0, 14), "reading\\x1b[2J");
  EXPECT_LE(report->shards[0].detail.size(), 1024);
  EXPECT_EQ(report->problem, "disk\\nfull");
}

TEST(DesiredConversion, UnchangedCarriesNoShards) {
  const ShardFixture fixture;
  DesiredShards desired{9, true, 250, 1200, {}, {fixture.Describe(1, [](const UnitId&) { return "a"; })}};
  const v1::DesiredState proto = ToProto(desired);
  EXPECT_EQ(proto.shards_size(), 0);
  EXPECT_TRUE(FromProto(proto)->unchanged);
  desired.unchanged = false;
  EXPECT_EQ(FromProto(ToProto(desired))->shards.size(), 1);
}

TEST(DesiredConversion, WhereOthersMayLeadIsSaidEachTime) {
  const DesiredShards desired{9, true, 250, 1200, {}, {}, {"10.0.0.2:7771", "[fd00::2]:7771"}};
  const auto back = FromProto(ToProto(desired));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->coordinators, desired.coordinators);
}

TEST(DesiredConversion, TheTermIsSaidWithItsHomeOrNotAtAll) {
  DesiredShards desired{9, true, 250, 1200, {}, {}};
  EXPECT_EQ(FromProto(ToProto(desired))->term, Term());
  desired.term = {HostId().Text(), 3};
  EXPECT_EQ(FromProto(ToProto(desired))->term, desired.term);
  desired.term.home = "no home\nterm x 9";
  EXPECT_FALSE(FromProto(ToProto(desired)).ok());
}

TEST(DesiredConversion, AddressesThatCannotBeAreRefused) {
  const std::string long_one = std::string(400, 'a') + ":1";
  for (const std::string& address :
       {std::string(), std::string("b"), std::string("b:0"), std::string("b:1,c:1"), std::string("b:1\n"),
        std::string("b b:1"), std::string("fd00::2:1"), std::string("b:70000"), long_one}) {
    const DesiredShards desired{9, true, 250, 1200, {}, {}, {address}};
    EXPECT_TRUE(absl::IsInvalidArgument(FromProto(ToProto(desired)).status())) << address;
  }
  const DesiredShards many{9, true, 250, 1200, {}, {}, std::vector<std::string>(65, "b:1")};
  EXPECT_TRUE(absl::IsInvalidArgument(FromProto(ToProto(many)).status()));
}

TEST(DesiredConversion, IntervalsThatWouldFloodOrNeverEndAreRefused) {
  for (const auto& [interval, lost] :
       {std::pair{0u, 1200u}, {1u, 1200u}, {250u, 100u}, {250u, ~0u}, {20000u, 30000u}}) {
    DesiredShards desired{9, true, interval, lost, {}, {}};
    EXPECT_FALSE(FromProto(ToProto(desired)).ok()) << interval << " " << lost;
  }
  EXPECT_FALSE(FromProto(v1::DesiredState()).ok());
}

}  // namespace
}  // namespace hearth
