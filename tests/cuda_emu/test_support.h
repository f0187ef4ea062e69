#ifndef HEARTH_TESTS_CUDA_EMU_TEST_SUPPORT_H_
#define HEARTH_TESTS_CUDA_EMU_TEST_SUPPORT_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/cuda_emu/emulator.h"
#include "tests/cuda_emu/emulator_control.h"

// What the emulator's own tests share.
namespace hearth::cuda_emu {

// Collects the emulator's reports instead of ending the process, and leaves the emulator as it was.
class EmulatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SetFailureHandler([this](const std::string& report) { reports_ += report; });
  }

  void TearDown() override {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << reports_;
    EXPECT_EQ(LiveAllocations(), 0);
    EXPECT_EQ(LiveHandles(), 0);
    SetFailureHandler(nullptr);
    SetThreadOrder(ThreadOrder::kForward);
    SetLazyStreams(true);
  }

  // What the emulator has reported; the device works again.
  std::string TakeReports() {
    ClearErrors();
    return std::exchange(reports_, "");
  }

 private:
  std::string reports_;
};

// The threads' order, and whether streams are lazy.
using Order = std::tuple<ThreadOrder, bool>;

// All of them.
inline auto EveryOrder() {
  return ::testing::Combine(
      ::testing::Values(ThreadOrder::kForward, ThreadOrder::kReverse, ThreadOrder::kRandom),
      ::testing::Bool());
}

// The order's part of a test's name.
inline std::string OrderName(const ::testing::TestParamInfo<Order>& order) {
  const char* const names[] = {"Forward", "Reverse", "Random"};
  return std::string(names[static_cast<int>(std::get<0>(order.param))]) +
         (std::get<1>(order.param) ? "Lazy" : "Eager");
}

// The same in one of the orders.
class EveryOrderTest : public EmulatorTest, public ::testing::WithParamInterface<Order> {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    SetThreadOrder(std::get<0>(GetParam()), 7);
    SetLazyStreams(std::get<1>(GetParam()));
  }
};

// An array in device memory.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    EXPECT_EQ(cudaMalloc(&data_, size * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  size_t bytes() const { return size_ * sizeof(T); }

  // The values after what stream 0 has to do.
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

// A stream for as long as this lives.
class Stream {
 public:
  Stream() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }  // NOLINT: used as the handle

 private:
  cudaStream_t stream_ = nullptr;
};

// An event for as long as this lives.
class Event {
 public:
  Event() { EXPECT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }  // NOLINT: used as the handle

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace hearth::cuda_emu

#endif  // HEARTH_TESTS_CUDA_EMU_TEST_SUPPORT_H_
