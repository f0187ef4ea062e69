#include "daemon/membership/conversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

v1::Shard GoodShard() {
  const ShardFixture fixture;
  return ToProto(fixture.Describe(3, [](size_t g) { return g == 0 ? "a" : "b"; }));
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
  EXPECT_EQ(shard->shares.size(), 2);
  EXPECT_EQ(shard->shares[1].groups[0].device, "a");
}

TEST(ShardConversion, EveryFieldOfALayerIsKept) {
  FfnLayerSpec spec;
  spec.n_embd = 64;
  spec.block_neurons = {32, 96};
  spec.activation = Activation::kSwigluOai;
  spec.activation_parameters = {1.5f, 6, 0.1f, 0.2f, 0.3f, 0.4f};
  spec.relu_up = spec.weight_on_input = spec.neuron_major = true;
  spec.gate_bias = spec.up_bias = spec.down_bias = true;
  spec.normalize_epsilon = 1e-5f;
  spec.gate_scale = 2, spec.up_scale = 3, spec.down_scale = 4;
  spec.gate = {true, TensorType::kQ8_0};
  spec.up = {true, TensorType::kQ4_0};
  spec.down = {true, TensorType::kF16};
  spec.predictor_type = TensorType::kBF16;
  spec.sparse_threshold = -0.5f;
  spec.shared_types = true;
  spec.shared_gate_type = TensorType::kQ4_1;
  spec.shared_up_type = TensorType::kQ5_0;
  spec.shared_down_type = TensorType::kQ8_0;
  ShardDescription shard{1, "m", "sha256:m", SparsityMode::kPredicted, 1, 8, {}};
  PlacedGroup group{"cpu", {1, {3, 1}, 1}, {}, 0};
  group.bytes = MakeBundleLayout(spec, 1, 2, false)->bytes;
  shard.shares.push_back({0, spec, {group}});
  const v1::Shard proto = ToProto(shard);
  const absl::StatusOr<ShardDescription> back = FromProto(proto);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToProto(*back).SerializeAsString(), proto.SerializeAsString());
  EXPECT_EQ(back->shares[0].spec.activation_parameters.xielu_eps, 0.4f);
  EXPECT_EQ(back->shares[0].spec.down.type, TensorType::kF16);
  EXPECT_EQ(back->shares[0].spec.sparse_threshold, -0.5f);
  EXPECT_EQ(back->shares[0].spec.down_type(1), TensorType::kQ8_0);
}

TEST(ShardConversion, HostileCountsAndEnumsAreRefused) {
  ExpectRefused([](v1::Shard& s) { s.set_epoch(0); }, "epoch");
  ExpectRefused([](v1::Shard& s) { s.set_layers(4097); }, "layers");
  ExpectRefused([](v1::Shard& s) { s.set_layers(1); }, "layer 1 of 1");
  ExpectRefused([](v1::Shard& s) { s.set_max_rows(0); }, "max_rows");
  ExpectRefused([](v1::Shard& s) { s.set_max_rows(~0u); }, "max_rows");
  ExpectRefused([](v1::Shard& s) { s.set_sparsity(v1::FFN_SPARSITY_UNSPECIFIED); }, "sparsity");
  ExpectRefused([](v1::Shard& s) { s.set_sparsity(static_cast<v1::FfnSparsity>(77)); }, "sparsity");
  ExpectRefused([](v1::Shard& s) { s.set_model(""); }, "model");
  ExpectRefused([](v1::Shard& s) { s.set_model_digest(std::string(1000, 'x')); }, "model_digest");
  ExpectRefused([](v1::Shard& s) { s.mutable_shares(1)->set_layer(0); }, "rise");
  ExpectRefused([](v1::Shard& s) { s.mutable_shares(0)->clear_groups(); }, "groups");
}

TEST(ShardConversion, HostileLayersAreRefused) {
  const auto change = [](auto edit) {
    return [edit](v1::Shard& s) { edit(*s.mutable_shares(0)->mutable_spec()); };
  };
  ExpectRefused(change([](v1::FfnLayer& l) { l.set_n_embd(0); }), "n_embd");
  ExpectRefused(change([](v1::FfnLayer& l) { l.set_n_embd(~0u); }), "n_embd");
  ExpectRefused(change([](v1::FfnLayer& l) { l.set_predictor_rank(~0u); }), "predictor_rank");
  ExpectRefused(change([](v1::FfnLayer& l) { l.set_predictor_rank(8), l.set_predictor_type(9999); }),
                "predictor");
  ExpectRefused(change([](v1::FfnLayer& l) { l.mutable_gate()->set_type(9999); }), "gate");
  ExpectRefused(change([](v1::FfnLayer& l) { l.clear_down(); }), "down");
  ExpectRefused(change([](v1::FfnLayer& l) { l.clear_block_neurons(); }), "block");
  ExpectRefused(change([](v1::FfnLayer& l) { l.set_activation(v1::FFN_ACTIVATION_UNSPECIFIED); }),
                "activation");
  ExpectRefused(change([](v1::FfnLayer& l) { l.set_up_scale(std::numeric_limits<float>::infinity()); }),
                "scale");
}

TEST(ShardConversion, CombinationsThatNoDeviceComputesAreRefused) {
  const auto refusal = [](auto edit) {
    v1::Shard shard = GoodShard();
    edit(*shard.mutable_shares(0)->mutable_spec());
    return FromProto(shard).status().code();
  };
  EXPECT_EQ(refusal([](v1::FfnLayer& l) { l.clear_gate(), l.set_activation(v1::FFN_ACTIVATION_SWIGLU_OAI); }),
            absl::StatusCode::kUnimplemented);
  EXPECT_EQ(refusal([](v1::FfnLayer& l) { l.set_neuron_major(true), l.set_normalize_hidden(true); }),
            absl::StatusCode::kUnimplemented);
}

TEST(ShardConversion, HostileGroupsAreRefused) {
  const auto change = [](auto edit) {
    return [edit](v1::Shard& s) { edit(*s.mutable_shares(0)->mutable_groups(1)); };
  };
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_device(""); }), "device");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_block(1); }), "block");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_block(~0u); }), "block");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.clear_neurons(); }), "neurons");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_neurons(0, ~0u); }), "neurons");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_neurons(1, g.neurons(0)); }), "twice");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_sha256("short"); }), "sha256");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_bytes(g.bytes() + 1); }), "bytes");
  ExpectRefused(change([](v1::GroupPlacement& g) { g.set_bytes(~uint64_t{0}); }), "bytes");
}

TEST(ShardConversion, NeuronOfAnotherGroupIsRefused) {
  ExpectRefused(
      [](v1::Shard& s) {
        auto& groups = *s.mutable_shares(0)->mutable_groups();
        groups.Mutable(1)->set_neurons(5, groups.Get(2).neurons(5));
      },
      "twice");
}

WorkerReport GoodReport() {
  WorkerReport report;
  report.host = "b";
  report.version = "1";
  report.tensor_address = "127.0.0.1:1234";
  report.revision = 4;
  report.capacity = {
      8, 1000, 500, 2000, {{"cpu", "cpu", 900, 100, 4, 2e10, 1e11, 3}, {"gpu0", "gpu", 0, 0, 0, 0, 0, 0}}};
  report.shards = {{7, "m", ShardPhase::kLoading, "reading", 10, 20, {{"cpu", {1, 2}, {3, 4}, 5}}}};
  report.store = {1, 2, 3, 4};
  report.identity = {"0123", "boot-1", "boot-1:2:3"};
  report.problem = "the disk is full";
  return report;
}

TEST(ReportConversion, KeepsEverything) {
  const v1::WorkerState proto = ToProto(GoodReport());
  const absl::StatusOr<WorkerReport> back = FromProto(proto);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToProto(*back).SerializeAsString(), proto.SerializeAsString());
  EXPECT_EQ(back->capacity, GoodReport().capacity);
  EXPECT_EQ(back->shards[0].devices[0].neurons_offered, (std::vector<uint64_t>{3, 4}));
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
  DesiredShards desired{9, true, 250, 1200, {}, {fixture.Describe(1, [](size_t) { return "a"; })}};
  const v1::DesiredState proto = ToProto(desired);
  EXPECT_EQ(proto.shards_size(), 0);
  EXPECT_TRUE(FromProto(proto)->unchanged);
  desired.unchanged = false;
  EXPECT_EQ(FromProto(ToProto(desired))->shards.size(), 1);
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
