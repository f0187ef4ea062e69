#ifndef HEARTH_TESTS_DAEMON_WEIGHTS_SHARD_FIXTURE_H_
#define HEARTH_TESTS_DAEMON_WEIGHTS_SHARD_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "daemon/weights/bundle_catalog.h"
#include "daemon/weights/shard_description.h"
#include "engine/device/device_set.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/file/gguf.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// The demo model, computed exactly, and shards of it.
class ShardFixture {
 public:
  static constexpr DecoderOptions kOptions{.sequences = 2, .context_length = 64, .max_rows = 8};

  ShardFixture() {
    ModelOptions options;
    options.sparsity = SparsityMode::kExact;
    options.context_length = kOptions.context_length;
    outline_ = std::make_shared<const ModelOutline>(OutlineModel(*file_, options).value());
    catalog_ = std::make_unique<BundleCatalog>(file_, outline_);
  }

  const ModelOutline& outline() const { return *outline_; }
  std::shared_ptr<const ModelOutline> shared_outline() const { return outline_; }
  uint32_t embedding() const { return outline_->spec.n_embd; }

  // A shard with the units for which pick(unit) names a device; "" leaves a unit out.
  template <class Pick>
  ShardDescription Describe(uint64_t epoch, Pick pick) const {
    ShardDescription shard;
    shard.epoch = epoch;
    shard.model = "test";
    shard.model_digest = "sha256:test";
    shard.skeleton = catalog_->IdentifySkeleton().value();
    shard.options = outline_->options;
    shard.decoder = kOptions;
    for (const UnitId& unit : DeviceShare::Everything(*outline_).units()) {
      const std::string device = pick(unit);
      if (!device.empty()) shard.units.push_back({device, unit, catalog_->Identify(unit).value()});
    }
    return shard;
  }

  std::vector<uint8_t> Bundle(const BundleId& bundle) const { return catalog_->Find(bundle.sha256).value(); }

  // The share of a description, loaded.
  std::shared_ptr<HostShare> Load(const ShardDescription& description, HostDevices& devices) const {
    auto shares = SharesOf(description.units, *outline_, devices.specs());
    EXPECT_TRUE(shares.ok()) << shares.status();
    auto share = std::make_shared<HostShare>(outline_, kOptions, *std::move(shares), devices);
    ThreadPool pool(1);
    FileSource source(file_, outline_);
    const absl::Status status = share->Load(source, pool);
    EXPECT_TRUE(status.ok()) << status;
    return share;
  }

  // `rows` rows of a layer's input.
  std::vector<float> Input(uint32_t rows, uint32_t seed) const {
    std::mt19937 random(seed);
    std::vector<float> x(size_t{rows} * embedding());
    for (float& value : x) value = std::normal_distribution<float>()(random);
    return x;
  }

  FfnRequest Ffn(uint32_t layer, const std::vector<float>& x) const {
    FfnRequest request;
    request.layer = layer;
    request.rows = static_cast<uint32_t>(x.size() / embedding());
    request.x = x.data();
    request.output_values = embedding();
    return request;
  }

  MixRequest Mix(uint64_t step, uint32_t layer, const std::vector<RowPlace>& rows,
                 const std::vector<float>& x) const {
    return {.step = step, .layer = layer, .rows = rows, .x = x.data(), .output_values = embedding()};
  }

  // What the devices together answer.
  static std::vector<int64_t> Run(DeviceSet& devices, const Request& request) {
    std::vector<int64_t> sums(SumsOf(request));
    devices.Submit(request);
    const absl::Status status = devices.Collect(WorkOf(request), absl::MakeSpan(sums));
    EXPECT_TRUE(status.ok()) << status;
    return sums;
  }

 private:
  const std::shared_ptr<const GgufFile> file_ =
      GgufFile::Open("deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf").value();
  std::shared_ptr<const ModelOutline> outline_;
  std::unique_ptr<BundleCatalog> catalog_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_WEIGHTS_SHARD_FIXTURE_H_
