// Streams, events, graphs, memory and injected failures of the emulated runtime.
#include "tests/cuda_emu/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda_emu/emulator.h"
#include "tests/cuda_emu/emulator_control.h"
#include "tests/cuda_emu/sanitizers.h"
#include "tests/cuda_emu/test_support.h"

namespace hearth::cuda_emu {
namespace {

using internal::kAddressSanitizer;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using RuntimeTest = EmulatorTest;
using EveryOrderRuntimeTest = EveryOrderTest;

INSTANTIATE_TEST_SUITE_P(Orders, EveryOrderRuntimeTest, EveryOrder(), OrderName);

__global__ void Fill(float* x, float value, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) x[i] = value;
}

__global__ void Add(float* x, const float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) x[i] += y[i];
}

// Two devices for as long as this lives.
struct TwoDevices {
  TwoDevices() { SetDevices({{"First", 1 << 20}, {"Second", 2 << 20, 9, 0}}); }
  ~TwoDevices() { SetDevices({{}}); }
};

// ---- Streams and events

TEST_P(EveryOrderRuntimeTest, StreamWaitsForTheEventOfAnother) {
  const Stream first, second;
  const Event filled;
  const DeviceArray<float> x(100), y(std::vector<float>(100, 1.0f));
  std::vector<float> result(100);
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(128), 0, first, x.data(), 2.0f, 100), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(filled, first), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second, filled), cudaSuccess);
  ASSERT_EQ(Launch(Add, dim3(1), dim3(128), 0, second, x.data(), y.data(), 100), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(result.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, second), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  EXPECT_THAT(result, Each(3.0f));
}

TEST_F(RuntimeTest, MissingEventWaitGivesPoisonWithLazyStreams) {
  const Stream first, second;
  const DeviceArray<float> x(1);
  float result = 0;
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(32), 0, first, x.data(), 2.0f, 1), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(&result, x.data(), x.bytes(), cudaMemcpyDeviceToHost, second), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  EXPECT_TRUE(std::isnan(result));
}

TEST_F(RuntimeTest, MissingSynchronizeLeavesTheHostsMemoryAsItWas) {
  const Stream stream;
  const DeviceArray<float> x(std::vector<float>(1, 5.0f));
  float result = -1;
  ASSERT_EQ(cudaMemcpyAsync(&result, x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_EQ(result, -1);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(result, 5);
}

TEST_F(RuntimeTest, WaitTakesTheRecordThatWasTheLatestAtItsCall) {
  const Stream first, second;
  const Event event;
  const DeviceArray<float> x(1);
  float result = 0;
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(1), 0, first, x.data(), 1.0f, 1), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, first), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second, event), cudaSuccess);
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(1), 0, first, x.data(), 2.0f, 1), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, first), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(&result, x.data(), x.bytes(), cudaMemcpyDeviceToHost, second), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  EXPECT_EQ(result, 1);
}

TEST_F(RuntimeTest, PollingAnEventComesToAnEnd) {
  const Stream stream;
  const Event event;
  const DeviceArray<float> x(1);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess) << "an event that was never recorded has nothing to wait for";
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(1), 0, stream, x.data(), 1.0f, 1), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "not ready is no error";
}

TEST_F(RuntimeTest, EventsMeasureTimeUnlessToldNotTo) {
  cudaEvent_t start = nullptr;
  cudaEvent_t end = nullptr;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaEventRecord(start), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
  ASSERT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  const Event without_time;
  ASSERT_EQ(cudaEventRecord(without_time), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, without_time), cudaErrorInvalidResourceHandle);
  cudaEventDestroy(start);
  cudaEventDestroy(end);
}

TEST_F(RuntimeTest, DestroyedHandlesAreRefused) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

// ---- Graphs

// Captures what `work` gives to the stream, for launches.
template <class Work>
cudaGraphExec_t CaptureGraph(cudaStream_t stream, Work work) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  work();
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  return exec;
}

TEST_P(EveryOrderRuntimeTest, GraphRunsItsWorkAtEachLaunchAndNotBefore) {
  const Stream stream;
  const DeviceArray<float> x(std::vector<float>(10, 0.0f)), y(std::vector<float>(10, 1.5f));
  const int64_t launches = LaunchCount();
  cudaGraphExec_t exec = CaptureGraph(stream, [&] {
    for (int i = 0; i < 2; i++) {
      EXPECT_EQ(Launch(Add, dim3(1), dim3(32), 0, stream, x.data(), y.data(), 10), cudaSuccess);
    }
  });
  EXPECT_THAT(x.Read(), Each(0.0f));
  for (int i = 0; i < 3; i++) EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(x.Read(), Each(9.0f));
  EXPECT_EQ(LaunchCount() - launches, 3);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_P(EveryOrderRuntimeTest, GraphTakesForkAndJoinByEventsIn) {
  const Stream first, second;
  const Event fork, join;
  const DeviceArray<float> x(1), y(1);
  cudaGraphExec_t exec = CaptureGraph(first, [&] {
    Launch(Fill, dim3(1), dim3(1), 0, first, x.data(), 1.0f, 1);
    EXPECT_EQ(cudaEventRecord(fork, first), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(second, fork), cudaSuccess);
    Launch(Fill, dim3(1), dim3(1), 0, second, y.data(), 2.0f, 1);
    EXPECT_EQ(cudaEventRecord(join, second), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(first, join), cudaSuccess);
    Launch(Add, dim3(1), dim3(1), 0, first, x.data(), y.data(), 1);
  });
  EXPECT_EQ(cudaGraphLaunch(exec, nullptr), cudaSuccess);
  EXPECT_THAT(x.Read(), ElementsAre(3.0f));
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(RuntimeTest, CaptureWithoutItsJoinFails) {
  const Stream first, second;
  const Event fork;
  const DeviceArray<float> x(1);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(fork, first), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second, fork), cudaSuccess);
  Launch(Fill, dim3(1), dim3(1), 0, second, x.data(), 2.0f, 1);
  EXPECT_EQ(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
}

TEST_F(RuntimeTest, WaitingOrAllocatingInACaptureSpoilsIt) {
  const Stream stream;
  cudaGraph_t graph = nullptr;
  void* memory = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
}

TEST_F(RuntimeTest, AnotherThreadMayAllocateDuringACapture) {
  const Stream stream;
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  std::thread([] { const DeviceArray<float> x(4); }).join();
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(RuntimeTest, GraphWhoseMemoryIsFreedIsReported) {
  const Stream stream;
  auto x = std::make_unique<DeviceArray<float>>(1);
  cudaGraphExec_t exec =
      CaptureGraph(stream, [&] { Launch(Fill, dim3(1), dim3(1), 0, stream, x->data(), 1.0f, 1); });
  x.reset();
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(),
              HasSubstr("pointer argument 0 of a kernel (of 1) points to neither live device memory"));
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

// ---- Memory

TEST_F(RuntimeTest, DeviceMemoryStartsAsPoison) {
  const DeviceArray<uint32_t> small(3), big((5 << 20) / 4 + 7);
  EXPECT_THAT(small.Read(), Each(0xffffffffu));
  const std::vector<uint32_t> values = big.Read();
  EXPECT_EQ(std::count(values.begin(), values.end(), 0xffffffffu), static_cast<ptrdiff_t>(values.size()));
}

TEST_F(RuntimeTest, FreeMemoryIsExactAndLimited) {
  SetDevices({{"Small", 1000}});
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  void* first = nullptr;
  void* second = nullptr;
  ASSERT_EQ(cudaMalloc(&first, 601), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(free_bytes, 399u);
  EXPECT_EQ(total_bytes, 1000u);
  EXPECT_EQ(cudaMalloc(&second, 400), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&second, 399), cudaSuccess);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(free_bytes, 1000u);
  SetDevices({{}});
}

TEST_F(RuntimeTest, FreedMemoryCanBeAllocatedAgain) {
  SetDevices({{"Small", size_t{4} << 20}});
  for (int i = 0; i < 200; i++) {
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, size_t{3} << 20), cudaSuccess);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
  }
  SetDevices({{}});
}

TEST_F(RuntimeTest, CopiesAreCheckedAgainstTheAllocation) {
  const DeviceArray<float> x(10);
  std::vector<float> values(11);
  EXPECT_EQ(cudaMemcpy(x.data(), values.data(), 44, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x.data(), values.data(), 40, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(x.data() + 5, 0, 24), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(x.data() + 5, 0, 20), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(values.data(), x.data(), 40, cudaMemcpyDefault), cudaSuccess);
  EXPECT_TRUE(std::isnan(values[4]));
  EXPECT_EQ(values[5], 0);
}

TEST_F(RuntimeTest, KernelWritesMappedHostMemory) {
  float* x = nullptr;
  ASSERT_EQ(cudaHostAlloc(&x, 40, cudaHostAllocMapped), cudaSuccess);
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(32), 0, nullptr, x, 4.0f, 10), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(x[9], 4.0f);
  EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue) << "it is not device memory";
  EXPECT_EQ(cudaFreeHost(x), cudaSuccess);
}

TEST_F(RuntimeTest, HostPointerAsAnArgumentIsReported) {
  float x = 0;
  EXPECT_EQ(Launch(Fill, dim3(1), dim3(1), 0, nullptr, &x, 4.0f, 1), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("points to neither live device memory nor memory of cudaHostAlloc"));
}

TEST_F(RuntimeTest, WriteBesideAnAllocationIsReportedWhenItIsFreed) {
  if (kAddressSanitizer) GTEST_SKIP() << "there it ends the process at once";
  float* x = nullptr;
  ASSERT_EQ(cudaMalloc(&x, 40), cudaSuccess);
  ASSERT_EQ(Launch(Fill, dim3(1), dim3(32), 0, nullptr, x, 4.0f, 11), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaFree(x), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("somebody wrote beside an allocation"));
}

// ---- Devices and launches

TEST_F(RuntimeTest, MachineWithoutCardsSaysSo) {
  SetDevices({});
  int count = -1;
  void* memory = nullptr;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(cudaMalloc(&memory, 1), cudaErrorNoDevice);
  SetDevices({{}});
}

TEST_F(RuntimeTest, OldDriverIsInsufficient) {
  SetDriverVersion(11080);
  int count = -1;
  int version = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, 11080);
  SetDriverVersion(13000);
  EXPECT_STREQ(cudaGetErrorString(cudaGetLastError()),
               "CUDA driver version is insufficient for CUDA runtime version");
}

TEST_F(RuntimeTest, PropertiesFollowTheDevice) {
  const TwoDevices devices;
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 1), cudaSuccess);
  EXPECT_STREQ(properties.name, "Second");
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, size_t{227} << 10);
  EXPECT_EQ(properties.totalGlobalMem, size_t{2} << 20);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 2), cudaErrorInvalidDevice);
}

TEST_F(RuntimeTest, StreamOfAnotherDeviceIsRefused) {
  const TwoDevices devices;
  const Stream stream;
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  const DeviceArray<float> x(1);
  EXPECT_EQ(Launch(Fill, dim3(1), dim3(1), 0, stream, x.data(), 1.0f, 1), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(Launch(Fill, dim3(1), dim3(1), 0, nullptr, x.data(), 1.0f, 1), cudaSuccess);
}

TEST_F(RuntimeTest, DevicesCopyToEachOther) {
  const TwoDevices devices;
  const DeviceArray<float> x(std::vector<float>{1, 2, 3});
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  const DeviceArray<float> y(3);
  ASSERT_EQ(cudaMemcpy(y.data(), x.data(), 12, cudaMemcpyDefault), cudaSuccess);
  EXPECT_THAT(y.Read(), ElementsAre(1, 2, 3));
}

TEST_F(RuntimeTest, ImpossibleLaunchesAreRefused) {
  const DeviceArray<float> x(1);
  EXPECT_EQ(Launch(Fill, dim3(0), dim3(1), 0, nullptr, x.data(), 1.0f, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(Launch(Fill, dim3(1), dim3(1025), 0, nullptr, x.data(), 1.0f, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(Launch(Fill, dim3(1, 65536), dim3(1), 0, nullptr, x.data(), 1.0f, 1),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

__global__ void UseDynamicShared(float* x, unsigned count) {
  HEARTH_DYNAMIC_SHARED(float, values);
  values[count - 1] = 3.0f;
  *x = values[count - 1];
}

TEST_F(RuntimeTest, MuchDynamicSharedMemoryNeedsTheAttribute) {
  const DeviceArray<float> x(1);
  constexpr size_t kBytes = size_t{160} << 10;
  constexpr unsigned kCount = kBytes / sizeof(float);
  EXPECT_EQ(Launch(UseDynamicShared, dim3(1), dim3(1), kBytes, nullptr, x.data(), kCount),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(UseDynamicShared, cudaFuncAttributeMaxDynamicSharedMemorySize, 164 << 10),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(UseDynamicShared, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
            cudaSuccess);
  EXPECT_EQ(Launch(UseDynamicShared, dim3(1), dim3(1), kBytes, nullptr, x.data(), kCount), cudaSuccess);
  EXPECT_EQ(x.Read()[0], 3.0f);
}

// ---- Injected failures

TEST_F(RuntimeTest, AllocationFailsWhenItIsToldTo) {
  const int64_t count = AllocationCount();
  FailAllocationAfter(1);
  void* first = nullptr;
  void* second = nullptr;
  EXPECT_EQ(cudaMalloc(&first, 10), cudaSuccess);
  EXPECT_EQ(cudaHostAlloc(&second, 10, cudaHostAllocDefault), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaMalloc(&second, 10), cudaSuccess);
  EXPECT_EQ(AllocationCount() - count, 3);
  EXPECT_EQ(LiveAllocations(), 2);
  cudaFree(first);
  cudaFree(second);
}

TEST_F(RuntimeTest, FailedLaunchShowsWhenItIsWaitedForAndStays) {
  const DeviceArray<float> x(1);
  FailLaunchAfter(0);
  EXPECT_EQ(Launch(Fill, dim3(1), dim3(1), 0, nullptr, x.data(), 1.0f, 1), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorLaunchFailure);
  EXPECT_EQ(Launch(Fill, dim3(1), dim3(1), 0, nullptr, x.data(), 1.0f, 1), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(TakeReports(), "");
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

// ---- Threads

// Adds up on one device, many times.
float WorkOnDevice(int device) {
  cudaSetDevice(device);
  const Stream stream;
  const DeviceArray<float> x(std::vector<float>(64, 0.0f)), y(std::vector<float>(64, 1.0f));
  for (int i = 0; i < 50; i++) Launch(Add, dim3(1), dim3(64), 0, stream, x.data(), y.data(), 64);
  std::vector<float> result(64);
  cudaMemcpyAsync(result.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream);
  cudaStreamSynchronize(stream);
  return result[63];
}

TEST_F(RuntimeTest, ThreadsWorkOnDevicesAtOnce) {
  const TwoDevices devices;
  std::array<float, 4> sums = {};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&sums, i] { sums[static_cast<size_t>(i)] = WorkOnDevice(i % 2); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(sums, Each(50.0f));
}

}  // namespace
}  // namespace hearth::cuda_emu
