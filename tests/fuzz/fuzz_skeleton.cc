// Any skeleton, as a coordinator may send it, is refused or outlined, and any bundles of its units' sizes are
// refused or can be loaded.
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/attention/kv_cache.h"
#include "engine/base/check.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/file/gguf_skeleton.h"
#include "engine/outline/model_outline.h"

namespace hearth {
namespace {

constexpr uint64_t kBudgetBytes = 1 << 20;
constexpr DecoderOptions kOptions{.sequences = 1, .context_length = 8, .max_rows = 2};

void Check(absl::Span<const uint8_t> input) {
  if (input.empty()) return;
  ModelOptions options;
  options.sparsity = static_cast<SparsityMode>(input[0] % 3);
  options.context_length = kOptions.context_length;
  auto skeleton = ParseSkeleton({input.begin() + 1, input.end()}, "skeleton");
  if (!skeleton.ok()) return;
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : (*skeleton)->tensors()) bytes += tensor.bytes();
  if (bytes > kBudgetBytes) return;
  absl::StatusOr<ModelOutline> outlined = OutlineModel(**skeleton, options);
  if (!outlined.ok()) return;
  const auto outline = std::make_shared<const ModelOutline>(*std::move(outlined));
  static auto* const pool = new ThreadPool(1);
  static auto* const devices = new HostDevices({{"cpu", 1, kBudgetBytes}}, pool);
  HostShare share(outline, kOptions, ShareInTurn(*outline, 1), *devices);
  if (!KvCacheBytes(outline->spec, kOptions).ok() || !share.Check().ok()) return;
  BundleWeights source(outline, [&](const UnitId& unit) -> absl::StatusOr<std::vector<uint8_t>> {
    const absl::StatusOr<uint64_t> size = outline->BundleBytes(unit);
    if (!size.ok()) return size.status();
    std::vector<uint8_t> bundle(*size, static_cast<uint8_t>(unit.number));
    for (size_t i = 0; i < bundle.size(); i += 5) bundle[i] = input[i % input.size()];
    return bundle;
  });
  (void)share.Load(source, *pool);
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::Check({data, size});
  return 0;
}
