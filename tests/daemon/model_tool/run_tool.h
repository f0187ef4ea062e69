#ifndef HEARTH_TESTS_DAEMON_MODEL_TOOL_RUN_TOOL_H_
#define HEARTH_TESTS_DAEMON_MODEL_TOOL_RUN_TOOL_H_

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace hearth {

inline constexpr char kDemoModel[] = "deploy/demo_model/hearth-demo-q8_0.gguf";
inline constexpr char kPredictedModel[] = "deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf";

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A path for a file of the running test.
inline std::string TempPath(const std::string& name) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  return ::testing::TempDir() + "hearth_" + test->test_suite_name() + "_" + test->name() + "_" + name;
}

inline std::string WriteTempFile(const std::string& name, const std::string& content) {
  const std::string path = TempPath(name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

struct ToolResult {
  int exit_code = -1;
  std::string out;
  std::string err;

  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, false); }
};

// Runs hearth-model with the arguments as a shell reads them. They come last, so they may redirect.
inline ToolResult RunTool(const std::string& arguments, const std::string& input = "") {
  const std::string in_path = WriteTempFile("stdin", input);
  const std::string out_path = TempPath("stdout"), err_path = TempPath("stderr");
  const std::string command =
      std::string(HEARTH_MODEL_TOOL) + " <" + in_path + " >" + out_path + " 2>" + err_path + " " + arguments;
  const int status = std::system(command.c_str());
  ToolResult result{WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(out_path), ReadFile(err_path)};
  for (const std::string& path : {in_path, out_path, err_path}) std::remove(path.c_str());
  return result;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_MODEL_TOOL_RUN_TOOL_H_
