#include "tests/cluster/streams.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <latch>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

uint32_t TokensOf(In in) { return in == In::kPrompt ? 40 : 160; }

}  // namespace

v1::GenerateRequest StreamRequest(int stream, In in) {
  std::string prompt;
  for (int i = 0; i < (in == In::kPrompt ? 80 : 1); ++i) absl::StrAppend(&prompt, "And it came to pass ");
  v1::GenerateRequest request = GreedyRequest(prompt, TokensOf(in));
  request.mutable_sampling()->set_temperature(1);
  request.mutable_sampling()->set_seed(static_cast<uint64_t>(stream));
  return request;
}

Answer ReadAnswer(const std::string& servers, const v1::GenerateRequest& request,
                  const std::function<void(const v1::GenerateResponse&)>& on_event) {
  Client client(servers);
  Answer answer;
  const auto stream = client.StartGenerate(request);
  absl::Time last = absl::Now();
  while (const auto event = stream->Next()) {
    const absl::Time now = absl::Now();
    answer.longest_pause = std::max(answer.longest_pause, now - std::exchange(last, now));
    answer.starts += event->has_started();
    answer.text += event->delta().text();
    answer.tokens.insert(answer.tokens.end(), event->delta().tokens().begin(), event->delta().tokens().end());
    on_event(*event);
  }
  answer.status = stream->Finish();
  return answer;
}

std::vector<Answer> ReadAnswers(const std::string& servers, int streams, In in,
                                const std::function<void()>& meanwhile) {
  std::vector<Answer> answers(static_cast<size_t>(streams));
  std::latch there(streams);
  std::vector<std::thread> readers;
  for (int i = 0; i < streams; ++i) {
    readers.emplace_back([&, i] {
      bool counted = false;
      answers[static_cast<size_t>(i)] =
          ReadAnswer(servers, StreamRequest(i, in), [&](const v1::GenerateResponse& event) {
            const bool reached = in == In::kPrompt ? event.has_started() : event.delta().offset() >= 40;
            if (reached && !std::exchange(counted, true)) there.count_down();
          });
      if (!counted) there.count_down();
    });
  }
  there.wait();
  meanwhile();
  for (std::thread& reader : readers) reader.join();
  return answers;
}

absl::Duration CompareAnswers(const std::vector<Answer>& answers, const std::vector<Answer>& unbroken,
                              In in) {
  absl::Duration pause;
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_TRUE(answers[i].status.ok()) << answers[i].status;
    EXPECT_EQ(answers[i].starts, 1);
    EXPECT_EQ(answers[i].tokens.size(), TokensOf(in));
    EXPECT_EQ(answers[i].tokens, unbroken[i].tokens) << "stream " << i;
    EXPECT_EQ(answers[i].text, unbroken[i].text) << "stream " << i;
    pause = std::max(pause, answers[i].longest_pause);
  }
  std::printf("%zu streams, coordinator killed in %s: longest pause %s\n", answers.size(),
              in == In::kPrompt ? "prompt" : "generation",
              absl::FormatDuration(absl::Trunc(pause, absl::Milliseconds(1))).c_str());
  return pause;
}

}  // namespace hearth
