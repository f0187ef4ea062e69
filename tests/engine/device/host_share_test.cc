#include "engine/device/host_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/file/gguf_skeleton.h"
#include "engine/model/decoder.h"
#include "engine/model/led_stage.h"
#include "tests/engine/model/fixture.h"

namespace hearth {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr DecoderOptions kOptions{.sequences = 2, .context_length = 16, .max_rows = 8};

class HostShareTest : public ::testing::Test {
 protected:
  void Open(const std::string& path, ModelOptions options = {}) {
    model_ = Model::Load(GgufFile::Open(path).value(), options, pool_).value();
    decoder_ = Decoder::Create(model_, kOptions, pool_).value();
  }

  std::unique_ptr<HostDevices> Devices(size_t count) {
    std::vector<HostDeviceSpec> specs;
    for (size_t i = 0; i < count; ++i) specs.push_back({"cpu" + std::to_string(i), 1});
    return std::make_unique<HostDevices>(specs, &pool_);
  }

  std::unique_ptr<HostShare> Share(HostDevices& devices, std::vector<DeviceShare> shares,
                                   const HostShare* former = nullptr) {
    auto share = std::make_unique<HostShare>(model_->shared_outline(), kOptions, std::move(shares), devices);
    if (former != nullptr) share->Adopt(*former);
    FileSource source(model_->shared_file(), model_->shared_outline());
    const absl::Status loaded = share->Load(source, pool_);
    EXPECT_TRUE(loaded.ok()) << loaded;
    return share;
  }

  // Logits of the last of `tokens`, which sequence 0 goes on with; of an encoder the states of all.
  std::vector<float> Step(const HostShare& share, const std::vector<TokenId>& tokens) {
    decoder_->SetDevices(share.devices());
    std::vector<BatchRow> rows;
    for (TokenId token : tokens) {
      rows.push_back({0, decoder_->SequenceLength(0) + static_cast<uint32_t>(rows.size()), token, false});
    }
    const bool logits_wanted = model_->spec().causal;
    for (BatchRow& row : rows) row.want_state = !logits_wanted;
    rows.back().want_logits = logits_wanted;
    std::vector<float> logits(model_->spec().n_vocab);
    const absl::Status status = decoder_->Step(rows, absl::MakeSpan(logits));
    EXPECT_TRUE(status.ok()) << status;
    if (!logits_wanted) logits.assign(decoder_->states().begin(), decoder_->states().end());
    return logits;
  }

  // Copies what sequence 0 has cached in every head group from one share's devices to another's.
  void MoveCache(const HostShare& from, const HostShare& to) {
    for (uint32_t layer = 0; layer < model_->spec().n_layers; ++layer) {
      for (uint32_t g = 0; g < model_->outline().head_groups[layer].size(); ++g) {
        const KvRange range{layer, g, 0, 0, decoder_->SequenceLength(0)};
        for (LocalDevice* source : from.locals()) {
          const auto bytes = source->ReadKv(range);
          if (!bytes.ok()) continue;
          for (LocalDevice* target : to.locals()) target->WriteKv(range, *bytes).IgnoreError();
        }
      }
    }
  }

  ThreadPool pool_{1};
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Decoder> decoder_;
};

constexpr const char* kDemo = "deploy/demo_model/hearth-demo-q8_0.gguf";

TEST_F(HostShareTest, AnySplitOfHeadsNeuronsAndOutputRowsGivesTheSameBits) {
  Open(kDemo, {.sparsity = SparsityMode::kExact});
  const auto one = Devices(1), three = Devices(3);
  const auto whole = Share(*one, ShareInTurn(model_->outline(), 1));
  const auto split = Share(*three, ShareInTurn(model_->outline(), 3));
  const std::vector<float> expected = Step(*whole, {1, 431, 261});
  ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
  EXPECT_EQ(Step(*split, {1, 431, 261}), expected);
  EXPECT_EQ(split->weight_bytes(), whole->weight_bytes());
  EXPECT_EQ(split->kv_bytes(), whole->kv_bytes());
}

TEST_F(HostShareTest, DeviceWithoutAShareIsNotAsked) {
  Open(kDemo);
  const auto devices = Devices(2);
  std::vector<DeviceShare> shares = ShareInTurn(model_->outline(), 1);
  shares.push_back(DeviceShare::Nothing(model_->spec().n_layers));
  const auto share = Share(*devices, shares);
  EXPECT_THAT(share->devices(), SizeIs(1));
  EXPECT_EQ(share->locals()[1]->weight_bytes(), 0u);
}

TEST_F(HostShareTest, ShareFromBundlesOfAHostWithoutTheFileGivesTheSameBits) {
  for (const std::string& path : {std::string(kDemo), FixturePath("latent_split_grouped.gguf"),
                                  FixturePath("../embedding_fixtures/encoder_with_rope.gguf")}) {
    Open(path);
    const auto devices = Devices(1);
    const std::vector<float> expected = Step(*Share(*devices, ShareInTurn(model_->outline(), 1)), {1, 4, 2});
    ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
    FileSource file(model_->shared_file(), model_->shared_outline());
    const auto skeleton = ParseSkeleton(MakeSkeleton(model_->file()).value(), "skeleton");
    ASSERT_TRUE(skeleton.ok()) << skeleton.status();
    const auto outline =
        std::make_shared<const ModelOutline>(OutlineModel(**skeleton, model_->options()).value());
    HostShare share(outline, kOptions, ShareInTurn(*outline, 1), *devices);
    EXPECT_EQ(share.missing(), ShareInTurn(*outline, 1)[0].units());
    BundleWeights source(outline, [&](const UnitId& unit) {
      const auto bundle = file.Bundle(unit);
      EXPECT_EQ(bundle->size(), outline->BundleBytes(unit).value());
      return bundle;
    });
    const absl::Status loaded = share.Load(source, pool_);
    ASSERT_TRUE(loaded.ok()) << loaded;
    EXPECT_THAT(share.missing(), IsEmpty());
    EXPECT_EQ(Step(share, {1, 4, 2}), expected) << path;
    ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
  }
}

// A stage on a host that has units only, as the decoder sees it.
class StageElsewhere : public RemoteStage {
 public:
  explicit StageElsewhere(LedStage& stage) : stage_(stage) {}
  const std::string& name() const override { return name_; }
  absl::Status RunStage(uint64_t step, absl::Span<const RowPlace> rows, float* x) override {
    return stage_.Run(step, rows, x);
  }

 private:
  LedStage& stage_;
  const std::string name_ = "elsewhere";
};

TEST_F(HostShareTest, StageLedByAHostWithoutTheFileGivesTheSameBits) {
  for (const std::string& path :
       {std::string(kDemo), FixturePath("shared_expert_with_gate.gguf"), FixturePath("predicted_gated.gguf"),
        FixturePath("../embedding_fixtures/encoder_with_positions.gguf")}) {
    ModelOptions options;
    if (path.find("predicted") != std::string::npos) options.sparsity = SparsityMode::kPredicted;
    Open(path, options);
    const uint32_t layers = model_->spec().n_layers;
    const auto here = Devices(1), there = Devices(2);
    const std::vector<float> expected = Step(*Share(*here, ShareInTurn(model_->outline(), 1)), {1, 4, 2});
    ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
    // Layer 0 here, the others there.
    std::vector<DeviceShare> near = ShareInTurn(model_->outline(), 1),
                             far = ShareInTurn(model_->outline(), 2);
    for (uint32_t layer = 0; layer < layers; ++layer) {
      for (DeviceShare& share : layer == 0 ? far : near) {
        share.head_groups[layer].clear();
        share.neuron_groups[layer].clear();
      }
      if (layer > 0) far[0].led_layers.push_back(layer);
    }
    for (DeviceShare& share : far) share.output_runs.clear();
    const auto near_share = Share(*here, near);
    HostShare far_share(model_->shared_outline(), kOptions, far, *there);
    FileSource file(model_->shared_file(), model_->shared_outline());
    BundleWeights bundles(model_->shared_outline(), [&](const UnitId& unit) { return file.Bundle(unit); });
    ASSERT_TRUE(far_share.Load(bundles, pool_).ok());
    const auto stage = LedStage::Load(far_share, bundles, pool_);
    ASSERT_TRUE(stage.ok()) << stage.status();
    StageElsewhere elsewhere(**stage);
    decoder_->SetStages({{{0, 1}, nullptr}, {{1, layers}, &elsewhere}});
    EXPECT_EQ(Step(*near_share, {1, 4, 2}), expected) << path;
  }
}

TEST_F(HostShareTest, StageThatLacksAUnitOrALayerIsRefused) {
  Open(kDemo);
  const auto devices = Devices(1);
  FileSource file(model_->shared_file(), model_->shared_outline());
  const auto load = [&](const std::vector<uint32_t>& layers, bool all_neurons) {
    std::vector<DeviceShare> shares = ShareInTurn(model_->outline(), 1);
    shares[0].led_layers = layers;
    if (!all_neurons) shares[0].neuron_groups[1].pop_back();
    const auto share = Share(*devices, shares);
    return LedStage::Load(*share, file, pool_).status().code();
  };
  EXPECT_EQ(load({1, 2}, true), absl::StatusCode::kOk);
  EXPECT_EQ(load({1, 2}, false), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(load({1, 3}, true), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(load({}, true), absl::StatusCode::kInvalidArgument);
}

TEST_F(HostShareTest, BundleOfAnotherSizeIsRefused) {
  Open(kDemo);
  const auto devices = Devices(1);
  HostShare share(model_->shared_outline(), kOptions, ShareInTurn(model_->outline(), 1), *devices);
  BundleWeights source(model_->shared_outline(), [](const UnitId&) { return std::vector<uint8_t>(100); });
  EXPECT_EQ(share.Load(source, pool_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HostShareTest, LoadThatFailedHalfWayCanBeTriedAgain) {
  Open(kDemo);
  const auto devices = Devices(1);
  const std::vector<float> expected = Step(*Share(*devices, ShareInTurn(model_->outline(), 1)), {1, 4});
  ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
  FileSource file(model_->shared_file(), model_->shared_outline());
  HostShare share(model_->shared_outline(), kOptions, ShareInTurn(model_->outline(), 1), *devices);
  int calls = 0;
  BundleWeights source(model_->shared_outline(),
                       [&](const UnitId& unit) -> absl::StatusOr<std::vector<uint8_t>> {
                         if (++calls == 40) return absl::UnavailableError("gone");
                         return file.Bundle(unit);
                       });
  EXPECT_EQ(share.Load(source, pool_).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(share.Load(source, pool_).ok());
  EXPECT_EQ(Step(share, {1, 4}), expected);
}

TEST_F(HostShareTest, MoreThanADeviceMayHoldIsRefusedBeforeLoading) {
  Open(kDemo);
  const uint64_t needed = [&] {
    const auto devices = Devices(1);
    const auto share = Share(*devices, ShareInTurn(model_->outline(), 1));
    return share->weight_bytes() + share->kv_bytes();
  }();
  for (const auto& [budget, code] : {std::pair{needed / 2, absl::StatusCode::kResourceExhausted},
                                     std::pair{2 * needed, absl::StatusCode::kOk}}) {
    HostDevices devices({{"cpu", 1, budget}}, &pool_);
    const HostShare share(model_->shared_outline(), kOptions, ShareInTurn(model_->outline(), 1), devices);
    EXPECT_EQ(share.Check().code(), code);
  }
}

TEST_F(HostShareTest, NewShareKeepsThePiecesThatItStillWants) {
  Open(kDemo);
  const auto devices = Devices(2);
  std::vector<DeviceShare> shares = ShareInTurn(model_->outline(), 2);
  const auto former = Share(*devices, shares);
  std::swap(shares[0].neuron_groups[0], shares[1].neuron_groups[0]);
  const auto share = Share(*devices, shares, former.get());
  EXPECT_NE(share->locals()[0]->pieces(UnitKind::kNeurons, 0),
            former->locals()[0]->pieces(UnitKind::kNeurons, 0));
  EXPECT_EQ(share->locals()[0]->pieces(UnitKind::kNeurons, 1),
            former->locals()[0]->pieces(UnitKind::kNeurons, 1));
  EXPECT_EQ(share->locals()[0]->pieces(UnitKind::kHeads, 0),
            former->locals()[0]->pieces(UnitKind::kHeads, 0));
  EXPECT_EQ(share->locals()[1]->pieces(UnitKind::kOutput, 0),
            former->locals()[1]->pieces(UnitKind::kOutput, 0));
}

TEST_F(HostShareTest, KeptHeadsKeepTheirCache) {
  Open(kDemo);
  const auto devices = Devices(2), one = Devices(1);
  const auto unbroken = Share(*one, ShareInTurn(model_->outline(), 1));
  Step(*unbroken, {1, 431});
  const std::vector<float> expected = Step(*unbroken, {261});
  ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
  std::vector<DeviceShare> shares = ShareInTurn(model_->outline(), 2);
  const auto former = Share(*devices, shares);
  Step(*former, {1, 431});
  std::swap(shares[0].neuron_groups, shares[1].neuron_groups);
  EXPECT_EQ(Step(*Share(*devices, shares, former.get()), {261}), expected);
}

TEST_F(HostShareTest, MovedHeadsTakeTheirCacheAlong) {
  for (const std::string fixture : {"llama_tied", "latent_split_grouped", "rectified_rope"}) {
    Open(FixturePath(fixture + ".gguf"), {.arithmetic = Arithmetic::kFloat32});
    const auto devices = Devices(2), one = Devices(1);
    const auto unbroken = Share(*one, ShareInTurn(model_->outline(), 1));
    Step(*unbroken, {3, 1, 4});
    const std::vector<float> expected = Step(*unbroken, {5});
    ASSERT_TRUE(decoder_->Truncate(0, 0).ok());
    std::vector<DeviceShare> shares = ShareInTurn(model_->outline(), 2);
    const auto former = Share(*devices, shares);
    Step(*former, {3, 1, 4});
    std::swap(shares[0].head_groups, shares[1].head_groups);
    const auto moved = Share(*devices, shares);
    MoveCache(*former, *moved);
    EXPECT_EQ(Step(*moved, {5}), expected) << fixture;
  }
}

TEST_F(HostShareTest, CacheRangesThatAreNotThereAreRefused) {
  Open(kDemo);
  const auto devices = Devices(1);
  const auto share = Share(*devices, ShareInTurn(model_->outline(), 1));
  LocalDevice& cpu = *share->locals()[0];
  const std::vector<KvRange> bad = {
      {99, 0, 0, 0, 1}, {0, 99, 0, 0, 1}, {0, 0, 2, 0, 1}, {0, 0, 0, 3, 2}, {0, 0, 0, 0, 17}};
  for (const KvRange& range : bad) {
    EXPECT_EQ(cpu.ReadKv(range).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(cpu.WriteKv(range, {}).code(), absl::StatusCode::kInvalidArgument);
  }
  const std::vector<uint8_t> bytes = cpu.ReadKv({0, 0, 0, 0, 2}).value();
  EXPECT_EQ(cpu.WriteKv({0, 0, 0, 0, 3}, bytes).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HostShareTest, RecurrentStateIsNotMoved) {
  Open(FixturePath("short_convolution.gguf"), {.arithmetic = Arithmetic::kFloat32});
  const auto devices = Devices(1);
  const auto share = Share(*devices, ShareInTurn(model_->outline(), 1));
  bool refused = false;
  for (uint32_t layer = 0; layer < model_->spec().n_layers; ++layer) {
    refused |= absl::IsUnimplemented(share->locals()[0]->ReadKv({layer, 0, 0, 0, 1}).status());
  }
  EXPECT_TRUE(refused);
}

TEST_F(HostShareTest, RowsThatNoCacheHasAreRefused) {
  Open(FixturePath("short_convolution.gguf"), {.arithmetic = Arithmetic::kFloat32});
  const auto devices = Devices(1);
  const auto share = Share(*devices, ShareInTurn(model_->outline(), 1));
  const uint32_t n = model_->spec().n_embd;
  const std::vector<float> x(n, 1.0f);
  uint64_t step = 0;
  // Another sequence, another position, and one that does not follow the recurrent state.
  for (const RowPlace place : {RowPlace{2, 0}, RowPlace{0, 16}, RowPlace{0, 5}}) {
    bool refused = false;
    for (uint32_t layer = 0; layer < model_->spec().n_layers; ++layer) {
      std::vector<int64_t> sums(n);
      const Ticket ticket = share->locals()[0]->Submit(
          MixRequest{.step = ++step, .layer = layer, .rows = {&place, 1}, .x = x.data(), .output_values = n});
      refused |= absl::IsInvalidArgument(share->locals()[0]->Collect(ticket, absl::MakeSpan(sums)));
    }
    EXPECT_TRUE(refused) << place.sequence << ", " << place.position;
  }
}

TEST(ShareInTurn, GivesEveryUnitToOneDevice) {
  const auto file = GgufFile::Open(kDemo).value();
  const ModelOutline outline = OutlineModel(*file, {}).value();
  const std::vector<DeviceShare> shares = ShareInTurn(outline, 3);
  for (uint32_t layer = 0; layer < outline.spec.n_layers; ++layer) {
    size_t groups = 0, heads = 0;
    for (const DeviceShare& share : shares) {
      groups += share.neuron_groups[layer].size();
      heads += share.head_groups[layer].size();
    }
    EXPECT_EQ(groups, outline.neuron_groups[layer].size());
    EXPECT_EQ(heads, outline.head_groups[layer].size());
  }
  EXPECT_THAT(DeviceShare::Nothing(2).output_runs, IsEmpty());
}

}  // namespace
}  // namespace hearth
