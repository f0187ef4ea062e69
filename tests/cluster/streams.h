#ifndef HEARTH_TESTS_CLUSTER_STREAMS_H_
#define HEARTH_TESTS_CLUSTER_STREAMS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/hearth_client.h"

namespace hearth {

// What a client has of its answer, and how long it waited at most for more of it.
struct Answer {
  std::vector<int> tokens;
  std::string text;
  int starts = 0;
  absl::Duration longest_pause;
  absl::Status status;
};

// Where a stream is when something happens.
enum class In { kPrompt, kGeneration };

// A device so slow that there is a middle.
inline constexpr char kSlowDevice[] = "cpu,bandwidth=10M,pace=200M";

// Each stream draws by a seed of its own.
v1::GenerateRequest StreamRequest(int stream, In in);

// Reads the whole answer from one of the servers (see Client); `on_event` is called with each event.
Answer ReadAnswer(const std::string& servers, const v1::GenerateRequest& request,
                  const std::function<void(const v1::GenerateResponse&)>& on_event);

// So many streams at once. `meanwhile` is called once all have come to the place where it is to happen.
std::vector<Answer> ReadAnswers(const std::string& servers, int streams, In in,
                                const std::function<void()>& meanwhile);

// That each answer is whole, and the one of the unbroken run; prints the longest pause and returns it.
absl::Duration CompareAnswers(const std::vector<Answer>& answers, const std::vector<Answer>& unbroken, In in);

}  // namespace hearth

#endif  // HEARTH_TESTS_CLUSTER_STREAMS_H_
