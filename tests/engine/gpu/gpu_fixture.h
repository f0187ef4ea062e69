#ifndef HEARTH_TESTS_ENGINE_GPU_GPU_FIXTURE_H_
#define HEARTH_TESTS_ENGINE_GPU_GPU_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/device/gpu_memory.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/gpu_weights.h"
#include "gtest/gtest.h"
#include "tests/cuda_emu/emulator_control.h"

namespace hearth {

// Where and how kernels run: on a real GPU, or emulated with the threads of a block and the work of a stream
// in this order. What is asked of a kernel is the same everywhere.
struct GpuSetting {
  gpu::GpuKind kind = gpu::GpuKind::kEmulated;
  cuda_emu::ThreadOrder order = cuda_emu::ThreadOrder::kForward;
  bool lazy = true;
  const char* name = "";
};

inline std::string SettingName(const testing::TestParamInfo<GpuSetting>& info) { return info.param.name; }

// Every order of threads with streams as late as allowed and at once; a real GPU once.
inline const GpuSetting kGpuSettings[] = {
    {gpu::GpuKind::kEmulated, cuda_emu::ThreadOrder::kForward, true, "ForwardLazy"},
    {gpu::GpuKind::kEmulated, cuda_emu::ThreadOrder::kForward, false, "ForwardEager"},
    {gpu::GpuKind::kEmulated, cuda_emu::ThreadOrder::kReverse, true, "ReverseLazy"},
    {gpu::GpuKind::kEmulated, cuda_emu::ThreadOrder::kReverse, false, "ReverseEager"},
    {gpu::GpuKind::kEmulated, cuda_emu::ThreadOrder::kRandom, true, "RandomLazy"},
    {gpu::GpuKind::kEmulated, cuda_emu::ThreadOrder::kRandom, false, "RandomEager"},
    {gpu::GpuKind::kCuda, {}, true, "Cuda"},
};

// A GPU with memory and a stream; skips where there is none.
class GpuTest : public testing::TestWithParam<GpuSetting> {
 protected:
  void SetUp() override {
    cuda_emu::SetThreadOrder(GetParam().order, 7);
    cuda_emu::SetLazyStreams(GetParam().lazy);
    std::string why;
    if (gpu::CountGpus(GetParam().kind, &why) == 0) {
      ASSERT_EQ(GetParam().kind, gpu::GpuKind::kCuda) << why;
      GTEST_SKIP() << "no CUDA device: " << why;
    }
    memory_ = *GpuMemory::Open(GetParam().kind, 0, uint64_t{256} << 20);
    stream_ = *memory_->OpenStream();
    uploader_ = *GpuUploader::Create(*memory_, pool_, Arithmetic::kFast);
  }

  void TearDown() override {
    if (memory_ == nullptr) return;
    stream_->Finish();
    EXPECT_EQ(stream_->error(), "");
  }

  GpuLinear Upload(TensorType type, size_t rows, size_t cols, absl::Span<const uint8_t> blocks) {
    absl::StatusOr<GpuLinear> linear = uploader_->Upload(*Matrix::Borrow(type, rows, cols, blocks));
    EXPECT_TRUE(linear.ok()) << linear.status();
    return *std::move(linear);
  }
  GpuBuffer Upload(absl::Span<const float> values) { return *uploader_->Upload(values); }
  template <class T>
  GpuBuffer UploadAll(const std::vector<T>& values) {
    GpuBuffer buffer = *memory_->Allocate(values.size() * sizeof(T));
    stream_->CopyIn(buffer.as<T>(), values.data(), values.size() * sizeof(T));
    stream_->Finish();
    return buffer;
  }
  // A buffer of zeros.
  GpuBuffer Zeros(uint64_t bytes) {
    GpuBuffer buffer = *memory_->Allocate(bytes);
    stream_->Clear(buffer.as<void>(), bytes);
    return buffer;
  }
  // Rows of activations, filled up with zeros.
  GpuActivations Activations(const std::vector<float>& values, uint32_t rows, uint32_t cols) {
    GpuActivations x = *GpuActivations::Create(*memory_, rows, cols);
    std::vector<float> filled(size_t{rows} * x.cols());
    for (uint32_t t = 0; t < rows; ++t) {
      std::copy_n(values.data() + size_t{t} * cols, cols, filled.data() + size_t{t} * x.cols());
    }
    stream_->CopyIn(x.values(), filled.data(), filled.size() * sizeof(float));
    stream_->Finish();
    return x;
  }
  template <class T>
  std::vector<T> Read(const T* from, size_t count) {
    std::vector<T> values(count);
    stream_->CopyOut(values.data(), from, count * sizeof(T));
    stream_->Finish();
    return values;
  }

  ThreadPool pool_{1};
  std::shared_ptr<GpuMemory> memory_;
  std::unique_ptr<gpu::Gpu> stream_;
  std::unique_ptr<GpuUploader> uploader_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_GPU_GPU_FIXTURE_H_
