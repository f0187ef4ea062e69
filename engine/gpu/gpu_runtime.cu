#include "engine/gpu/attention.h"
#include "engine/gpu/elementwise.h"
#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_runtime.h"
#include "engine/gpu/products.h"
#include "engine/gpu/tile_products.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {
namespace {

ProductLaunches LaunchesFor(GpuType type) {
  if (!HasCodes(type)) return FloatLaunches(type);
  return PlanesOf(type).super > 0 ? SuperBlockLaunches(type) : SmallBlockLaunches(type);
}

TileLaunches TilesFor(GpuType type) {
  if (!HasCodes(type)) return {};
  return PlanesOf(type).super > 0 ? SuperBlockTileLaunches(type) : SmallBlockTileLaunches(type);
}

class Graph : public Gpu::Recording {
 public:
  explicit Graph(cudaGraphExec_t graph) : graph_(graph) {}
  ~Graph() override { cudaGraphExecDestroy(graph_); }
  cudaGraphExec_t get() const { return graph_; }

 private:
  const cudaGraphExec_t graph_;
};

class Stream : public Gpu {
 public:
  explicit Stream(int number) : number_(number) {
    Use();
    Keep(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    for (cudaEvent_t& mark : marks_) {
      Keep(cudaEventCreateWithFlags(&mark, cudaEventDisableTiming), "making an event");
    }
    cudaDeviceProp properties;
    Keep(cudaGetDeviceProperties(&properties, number), "asking for its properties");
    if (error_.empty()) major_ = properties.major;
  }

  ~Stream() override {
    Use();
    if (stream_ != nullptr) cudaStreamSynchronize(stream_);
    for (cudaEvent_t mark : marks_) {
      if (mark != nullptr) cudaEventDestroy(mark);
    }
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  GpuInfo info() const override {
    Use();
    GpuInfo info;
    cudaDeviceProp properties;
    size_t free_bytes = 0, total_bytes = 0;
    if (cudaGetDeviceProperties(&properties, number_) != cudaSuccess ||
        cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
      return info;
    }
    info.name = properties.name;
    info.major = properties.major;
    info.minor = properties.minor;
    info.multiprocessors = static_cast<uint32_t>(properties.multiProcessorCount);
    info.memory_bytes = total_bytes;
    info.free_bytes = free_bytes;
    return info;
  }

  void* Allocate(uint64_t bytes) override {
    Use();
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
    cudaGetLastError();  // no memory is the caller's to tell, and not the end of this stream
    return nullptr;
  }
  void Free(void* memory) override {
    Use();
    cudaFree(memory);
  }
  void* AllocateHost(uint64_t bytes) override {
    Use();
    void* memory = nullptr;
    if (cudaHostAlloc(&memory, bytes, cudaHostAllocDefault) == cudaSuccess) return memory;
    cudaGetLastError();
    return nullptr;
  }
  void FreeHost(void* memory) override {
    Use();
    cudaFreeHost(memory);
  }

  void CopyIn(void* to, const void* from, uint64_t bytes) override {
    if (!Ready()) return;
    Keep(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying to the GPU");
  }
  void CopyOut(void* to, const void* from, uint64_t bytes) override {
    if (!Ready()) return;
    Keep(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the GPU");
  }
  void CopyWithin(void* to, const void* from, uint64_t bytes) override {
    if (!Ready()) return;
    Keep(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying within the GPU");
  }
  void Clear(void* memory, uint64_t bytes) override {
    if (!Ready()) return;
    Keep(cudaMemsetAsync(memory, 0, bytes, stream_), "clearing memory");
  }

  void Mark(uint32_t mark) override {
    if (!Ready()) return;
    Keep(cudaEventRecord(marks_[mark % kMarks], stream_), "marking work");
  }
  void WaitFor(uint32_t mark) override {
    if (!Ready()) return;
    Keep(cudaEventSynchronize(marks_[mark % kMarks]), "waiting for the GPU");
  }
  void Finish() override {
    if (!Ready()) return;
    Keep(cudaStreamSynchronize(stream_), "waiting for the GPU");
  }

  void Record() override {
    if (!Ready()) return;
    Keep(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording");
  }
  std::unique_ptr<Recording> EndRecord() override {
    Use();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    Keep(cudaStreamEndCapture(stream_, &graph), "recording");
    if (graph == nullptr) return nullptr;
    if (error_.empty()) Keep(cudaGraphInstantiate(&executable, graph, 0), "recording");
    cudaGraphDestroy(graph);
    return executable == nullptr ? nullptr : std::make_unique<Graph>(executable);
  }
  void Replay(const Recording& recording) override {
    if (!Ready()) return;
    Keep(cudaGraphLaunch(static_cast<const Graph&>(recording).get(), stream_), "replaying");
  }

  void MatVec(const MatVecArgs& args, bool exact) override {
    if (!Ready()) return;
    const ProductLaunches launches = LaunchesFor(args.products[0].weights.type);
    Keep((exact ? launches.exact_mat_vec : launches.mat_vec)(args, stream_), "a matrix product");
  }
  void FixedMatVec(const FixedMatVecArgs& args, bool exact) override {
    if (!Ready()) return;
    const ProductLaunches launches = LaunchesFor(args.weights.type);
    Keep((exact ? launches.exact_fixed_mat_vec : launches.fixed_mat_vec)(args, stream_), "a matrix product");
  }
  bool HasTiles(GpuType type, uint32_t cols) const override {
    return major_ >= 8 && HasCodes(type) && cols <= kMaxTileCols;
  }
  void TileProducts(const TileProductArgs& args) override {
    if (!Ready()) return;
    Keep(TilesFor(args.products[0].weights.type).products(args, stream_), "a product of many rows");
  }
  void FixedTileProducts(const FixedTileArgs& args) override {
    if (!Ready()) return;
    Keep(TilesFor(args.weights.type).fixed_products(args, stream_), "a product of many rows");
  }
  void NeuronSum(const NeuronSumArgs& args) override {
    if (!Ready()) return;
    Keep(LaunchesFor(args.weights.type).neuron_sum(args, stream_), "a sum of neurons");
  }
  void Round(const RoundArgs& args) override {
    if (Ready()) Keep(LaunchRound(args, stream_), "rounding activations");
  }
  void Activate(const ActivateArgs& args) override {
    if (Ready()) Keep(LaunchActivate(args, stream_), "an activation");
  }
  void Gather(const GatherArgs& args) override {
    if (Ready()) Keep(LaunchGather(args, stream_), "gathering rows");
  }
  void AddBias(const AddBiasArgs& args) override {
    if (Ready()) Keep(LaunchAddBias(args, stream_), "adding a bias");
  }
  void Residual(const ResidualArgs& args) override {
    if (Ready()) Keep(LaunchResidual(args, stream_), "a residual");
  }
  void HeadProducts(const HeadProductArgs& args) override {
    if (Ready()) Keep(LaunchHeadProducts(args, stream_), "products of heads");
  }
  void FinishHeads(const FinishHeadsArgs& args) override {
    if (Ready()) Keep(LaunchFinishHeads(args, stream_), "finishing heads");
  }
  void Attention(const AttentionArgs& args) override {
    if (Ready()) Keep(LaunchAttention(args, stream_), "attention");
  }
  bool HasPromptAttention(GpuKv type, uint32_t key_dim, uint32_t value_dim) const override {
    const auto fits = [](uint32_t dim) { return dim <= kPromptHeadValues && dim % 8 == 0; };
    return major_ >= 8 && type != GpuKv::kF32 && fits(key_dim) && fits(value_dim);
  }
  void PromptAttention(const AttentionArgs& args) override {
    if (Ready()) Keep(LaunchPromptAttention(args, stream_), "attention of a prompt");
  }
  void Peak(const PeakArgs& args) override {
    if (Ready()) Keep(LaunchPeak(args, stream_), "measuring");
  }

  const std::string& error() const override { return error_; }

 private:
  // CUDA's current device belongs to the calling thread.
  void Use() const { cudaSetDevice(number_); }
  bool Ready() const {
    if (!error_.empty()) return false;
    Use();
    return true;
  }
  void Keep(cudaError_t error, const char* doing) {
    if (error == cudaSuccess || !error_.empty()) return;
    error_ = std::string(doing) + ": " + cudaGetErrorString(error);
  }

  const int number_;
  int major_ = 0;  // compute capability
  cudaStream_t stream_ = nullptr;
  cudaEvent_t marks_[kMarks] = {};
  std::string error_;
};

}  // namespace

int CountGpus(std::string* why) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  *why = error == cudaSuccess ? "there is none" : cudaGetErrorString(error);
  cudaGetLastError();
  return 0;
}

std::unique_ptr<Gpu> OpenGpu(int number, std::string* why) {
  const int count = CountGpus(why);
  if (count == 0) return nullptr;
  if (number < 0 || number >= count) {
    *why = "the numbers here are less than ";
    why->append(std::to_string(count));
    return nullptr;
  }
  auto stream = std::make_unique<Stream>(number);
  if (!stream->error().empty()) {
    *why = stream->error();
    return nullptr;
  }
  return stream;
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
