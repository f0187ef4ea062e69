// Streams, events and graphs of the emulated runtime.
#include <algorithm>
#include <utility>

#include "tests/cuda_emu/runtime.h"
#include "tests/cuda_emu/runtime_state.h"

namespace hearth::cuda_emu {

// ---- Running what streams hold

namespace internal {

StreamState* Runtime::Find(cudaStream_t stream) {
  if (stream == nullptr) return &current().null_stream;
  return streams.count(stream) != 0 ? stream : nullptr;
}

void Runtime::Enqueue(StreamState& stream, Operation operation) {
  if (stream.capture != nullptr) {
    stream.capture->operations.push_back(std::move(operation));
    stream.capture->branches[&stream][&stream] = stream.capture->operations.size();
    return;
  }
  stream.operations.push_back(std::move(operation));
  if (!lazy) Drain(stream);
}

void Runtime::Step(StreamState& stream) {
  const Operation operation = std::move(stream.operations.front());
  stream.operations.pop_front();
  operation();
}

void Runtime::Drain(StreamState& stream) {
  while (!stream.operations.empty()) Step(stream);
}

void Runtime::DrainDevice(int device) {
  Drain(devices[static_cast<size_t>(device)].null_stream);
  for (StreamState* stream : streams) {
    if (stream->device == device) Drain(*stream);
  }
}

void Runtime::RunUntil(const Marker& marker) {
  while (!marker.done) Step(*marker.stream);
}

cudaError_t Runtime::RefuseInCapture() {
  cudaError_t error = cudaSuccess;
  for (const std::shared_ptr<Capture>& capture : captures) {
    const bool is_own = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && !is_own) continue;
    capture->invalid = true;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

}  // namespace internal

namespace {

using internal::Call;
using internal::Capture;
using internal::CapturedOrder;
using internal::current_device;
using internal::FailsNow;
using internal::Marker;
using internal::Operation;
using internal::ReleasingCall;
using internal::Runtime;

// Destroys an object that is in one of the runtime's sets.
template <class T>
cudaError_t Destroy(std::set<T*>& all, T* object) {
  if (all.erase(object) == 0) return cudaErrorInvalidResourceHandle;
  delete object;
  return cudaSuccess;
}

// What comes before the capturing stream's next operation, the stream's own operations included.
CapturedOrder OrderOf(const Capture& capture, StreamState* stream) { return capture.branches.at(stream); }

// Adds to a stream's order what came before an event.
void Merge(CapturedOrder& order, const CapturedOrder& before) {
  for (const auto& [stream, count] : before) order[stream] = std::max(order[stream], count);
}

// A wait for a captured event takes the stream into the capture.
cudaError_t WaitInCapture(StreamState& stream, const Marker& marker) {
  if (marker.capture == nullptr || (stream.capture != nullptr && stream.capture != marker.capture)) {
    if (stream.capture != nullptr) stream.capture->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  stream.capture = marker.capture;
  Merge(marker.capture->branches[&stream], marker.order);
  return cudaSuccess;
}

// Whether the origin has waited for everything that the other streams of its capture did.
bool IsJoined(const Capture& capture) {
  const CapturedOrder& origin = capture.branches.at(capture.origin);
  return std::all_of(capture.branches.begin(), capture.branches.end(), [&](const auto& branch) {
    const auto own = branch.second.find(branch.first);
    if (own == branch.second.end()) return true;
    const auto known = origin.find(branch.first);
    return known != origin.end() && known->second >= own->second;
  });
}

// Ends a capture; its streams are ordinary again. Events that were recorded in it stay captured ones.
void Dissolve(Runtime& runtime, const std::shared_ptr<Capture>& capture) {
  for (const auto& [stream, order] : capture->branches) stream->capture = nullptr;
  runtime.captures.erase(capture);
}

// The event's last record, or why it cannot be waited for or asked.
cudaError_t FindMarker(Runtime& runtime, cudaEvent_t event, std::shared_ptr<Marker>* marker) {
  if (runtime.events.count(event) == 0) return cudaErrorInvalidResourceHandle;
  if (event->marker != nullptr && event->marker->capture != nullptr) {
    if (runtime.captures.count(event->marker->capture) != 0) event->marker->capture->invalid = true;
    return cudaErrorCapturedEvent;
  }
  *marker = event->marker;
  return cudaSuccess;
}

}  // namespace

// ---- Streams

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return Call([&](Runtime& runtime) {
    if (stream == nullptr || flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = new StreamState;
    (*stream)->device = current_device;
    runtime.streams.insert(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return ReleasingCall([&](Runtime& runtime) {
    if (runtime.streams.count(stream) == 0) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    runtime.Drain(*stream);
    return Destroy(runtime.streams, stream);
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return Call([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
      stream->capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    runtime.Drain(*stream);
    return runtime.devices[static_cast<size_t>(stream->device)].failed ? cudaErrorLaunchFailure : cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return Call([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
      stream->capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    if (stream->operations.empty()) return cudaSuccess;
    runtime.Step(*stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  return Call([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr || runtime.events.count(event) == 0) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    const std::shared_ptr<Marker> marker = event->marker;
    if (marker == nullptr) return cudaSuccess;
    if (marker->capture != nullptr && runtime.captures.count(marker->capture) == 0)
      return cudaErrorCapturedEvent;
    if (stream->capture != nullptr || marker->capture != nullptr) return WaitInCapture(*stream, *marker);
    runtime.Enqueue(*stream, [&runtime, marker] { runtime.RunUntil(*marker); });
    return cudaSuccess;
  });
}

// ---- Events

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return Call([&](Runtime& runtime) {
    if (event == nullptr || flags > (cudaEventBlockingSync | cudaEventDisableTiming))
      return cudaErrorInvalidValue;
    *event = new EventState;
    (*event)->device = current_device;
    (*event)->has_timing = (flags & cudaEventDisableTiming) == 0;
    runtime.events.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return ReleasingCall([&](Runtime& runtime) { return Destroy(runtime.events, event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return Call([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr || runtime.events.count(event) == 0 || event->device != stream->device) {
      return cudaErrorInvalidResourceHandle;
    }
    auto marker = std::make_shared<Marker>();
    marker->stream = stream;
    event->marker = marker;
    if (stream->capture != nullptr) {
      marker->capture = stream->capture;
      marker->order = OrderOf(*stream->capture, stream);
      return cudaSuccess;
    }
    runtime.Enqueue(*stream, [marker] {
      marker->time = std::chrono::steady_clock::now();
      marker->done = true;
    });
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return Call([&](Runtime& runtime) {
    std::shared_ptr<Marker> marker;
    if (const cudaError_t error = FindMarker(runtime, event, &marker); error != cudaSuccess) return error;
    if (marker != nullptr) runtime.RunUntil(*marker);
    return runtime.devices[static_cast<size_t>(event->device)].failed ? cudaErrorLaunchFailure : cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return Call([&](Runtime& runtime) {
    std::shared_ptr<Marker> marker;
    if (const cudaError_t error = FindMarker(runtime, event, &marker); error != cudaSuccess) return error;
    if (marker == nullptr || marker->done) return cudaSuccess;
    runtime.Step(*marker->stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return Call([&](Runtime& runtime) {
    if (milliseconds == nullptr) return cudaErrorInvalidValue;
    std::shared_ptr<Marker> first;
    std::shared_ptr<Marker> last;
    if (const cudaError_t error = FindMarker(runtime, start, &first); error != cudaSuccess) return error;
    if (const cudaError_t error = FindMarker(runtime, end, &last); error != cudaSuccess) return error;
    if (first == nullptr || last == nullptr || !start->has_timing || !end->has_timing) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!first->done || !last->done) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(last->time - first->time).count();
    return cudaSuccess;
  });
}

// ---- Graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return Call([&](Runtime& runtime) {
    if (handle == nullptr) return cudaErrorStreamCaptureUnsupported;
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) return cudaErrorInvalidValue;
    auto capture = std::make_shared<Capture>();
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->branches[stream];
    stream->capture = capture;
    runtime.captures.insert(capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return ReleasingCall([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (graph == nullptr) return cudaErrorInvalidValue;
    *graph = nullptr;
    if (stream->capture == nullptr) return cudaErrorInvalidValue;
    if (stream->capture->origin != stream) return cudaErrorStreamCaptureUnmatched;
    if (stream->capture->mode == cudaStreamCaptureModeThreadLocal &&
        stream->capture->thread != std::this_thread::get_id()) {
      return cudaErrorStreamCaptureWrongThread;
    }
    const std::shared_ptr<Capture> capture = stream->capture;
    Dissolve(runtime, capture);
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (!IsJoined(*capture)) return cudaErrorStreamCaptureUnjoined;
    *graph = new GraphState;
    (*graph)->device = stream->device;
    (*graph)->operations = std::make_shared<const std::vector<Operation>>(std::move(capture->operations));
    runtime.graphs.insert(*graph);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return Call([&](Runtime& runtime) {
    if (exec == nullptr || flags != 0 || runtime.graphs.count(graph) == 0) return cudaErrorInvalidValue;
    *exec = new GraphExecState;
    (*exec)->device = graph->device;
    (*exec)->operations = graph->operations;
    runtime.execs.insert(*exec);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return Call([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(handle);
    if (stream == nullptr || runtime.execs.count(exec) == 0) return cudaErrorInvalidResourceHandle;
    if (stream->device != exec->device) return cudaErrorInvalidValue;
    const int device = stream->device;
    if (stream->capture == nullptr) {
      runtime.launch_count++;
      if (FailsNow(runtime.launches_until_failure)) {
        runtime.Enqueue(*stream, [&runtime, device] { runtime.FailDevice(device); });
        return cudaSuccess;
      }
    }
    runtime.Enqueue(*stream, [operations = exec->operations] {
      for (const Operation& operation : *operations) operation();
    });
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return ReleasingCall([&](Runtime& runtime) { return Destroy(runtime.execs, exec); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return ReleasingCall([&](Runtime& runtime) { return Destroy(runtime.graphs, graph); });
}

}  // namespace hearth::cuda_emu
