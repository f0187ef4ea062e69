// tokenizer_speed [--text FILE] M.gguf ...: seconds that each vocabulary needs for 1 MB of several texts, on
// one thread: ordinary text and those on which a careless tokenizer takes quadratic time. The best of three
// runs.

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/file/gguf.h"
#include "engine/token/tokenizer.h"

namespace hearth {
namespace {

constexpr size_t kTextBytes = 1'000'000;

struct Text {
  std::string name;
  std::string bytes;
};

std::string Repeat(std::string_view unit) {
  std::string text;
  while (text.size() < kTextBytes) text += unit;
  text.resize(kTextBytes);
  return text;
}

std::string RandomBytes() {
  std::mt19937 random(1);
  std::string text(kTextBytes, '\0');
  std::generate(text.begin(), text.end(), [&] { return static_cast<char>(random() & 0xFF); });
  return text;
}

// Words of made-up syllables in sentences, with numbers and punctuation.
std::string Prose() {
  constexpr std::string_view kSyllables[] = {"the", "an", "ing", "er", "on", "re", "tion", "al", "in", "st",
                                             "ed",  "or", "en",  "is", "it", "ar", "ou",   "le", "ch", "un"};
  std::mt19937 random(2);
  std::string text;
  while (text.size() < kTextBytes) {
    for (size_t syllables = 1 + random() % 3; syllables > 0; --syllables) {
      text += kSyllables[random() % std::size(kSyllables)];
    }
    const size_t next = random() % 40;
    text += next == 0 ? ".\n\n" : next == 1 ? ", " : next == 2 ? " 1984 " : " ";
  }
  text.resize(kTextBytes);
  return text;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Repeat(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::vector<Text> Texts(const std::string& prose_path) {
  return {{"prose", prose_path.empty() ? Prose() : ReadText(prose_path)},
          {"chinese", Repeat("今天天气很好，我们去公园散步。")},
          {"a", Repeat("a")},
          {"A", Repeat("A")},
          {"spaces", Repeat(" ")},
          {"spaces_x", std::string(kTextBytes - 1, ' ') + "x"},
          {"newlines", Repeat("\n")},
          {"digits", Repeat("7")},
          {"marks", Repeat("!")},
          {"quotes", Repeat("' ")},
          {"letter_space", Repeat("a ")},
          {"random", RandomBytes()}};
}

double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double SecondsOf(const std::function<void()>& run) {
  double best = 1e9;
  for (int repetition = 0; repetition < 3; ++repetition) {
    const double start = ThreadSeconds();
    run();
    best = std::min(best, ThreadSeconds() - start);
    if (best > 2) break;
  }
  return best;
}

bool Measure(const std::string& path, const std::vector<Text>& texts) {
  auto file = GgufFile::Open(path);
  auto tokenizer = file.ok() ? Tokenizer::FromMetadata((*file)->metadata())
                             : absl::StatusOr<std::unique_ptr<Tokenizer>>(file.status());
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), tokenizer.status().ToString().c_str());
    return false;
  }
  std::printf("%-28s", path.substr(path.rfind('/') + 1).c_str());
  for (const Text& text : texts) {
    std::printf(" %12.3f", SecondsOf([&] { (*tokenizer)->Encode(text.bytes, {}); }));
    std::fflush(stdout);
  }
  const std::vector<TokenId> ids = (*tokenizer)->Encode(texts[0].bytes, {});
  std::printf(" %12.3f\n", SecondsOf([&] { (*tokenizer)->Decode(ids, {}); }));
  return true;
}

int Main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  std::string prose;
  if (paths.size() >= 2 && paths[0] == "--text") {
    prose = paths[1];
    paths.erase(paths.begin(), paths.begin() + 2);
  }
  if (paths.empty()) {
    std::fprintf(stderr, "usage: tokenizer_speed [--text FILE] M.gguf ...\n");
    return 2;
  }
  const std::vector<Text> texts = Texts(prose);
  std::printf("%-28s", "seconds for 1 MB");
  for (const Text& text : texts) std::printf(" %12s", text.name.c_str());
  std::printf(" %12s\n", "decode prose");
  bool ok = true;
  for (const std::string& path : paths) ok = Measure(path, texts) && ok;
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc, argv); }
