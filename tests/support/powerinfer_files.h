#ifndef HEARTH_TESTS_SUPPORT_POWERINFER_FILES_H_
#define HEARTH_TESTS_SUPPORT_POWERINFER_FILES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/file/gguf_writer.h"

namespace hearth {

// Files as PowerInfer's tools make them, for tests; what they are made of can be made wrong.

template <class T>
std::string Bytes(const T& number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

template <class T>
std::string NumbersOf(const std::vector<T>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)};
}

inline uint32_t ZipCrc(const std::string& data) {
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc % 2 != 0 ? 0xedb88320 : 0);
  }
  return ~crc;
}

struct ZipEntry {
  std::string name, data;
  uint16_t method = 0;
};

// As PyTorch writes it: sizes stand behind the data and in the directory alone.
inline std::string ZipFile(const std::vector<ZipEntry>& entries) {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const auto bytes = static_cast<uint32_t>(entry.data.size());
    const std::string sizes = Bytes(ZipCrc(entry.data)) + Bytes(bytes) + Bytes(bytes);
    const std::string padding(5, 'Z');
    const std::string head =
        Bytes(uint16_t{0}) + Bytes(uint16_t{0x808}) + Bytes(entry.method) + Bytes(uint32_t{0});
    const auto name_bytes = static_cast<uint16_t>(entry.name.size());
    const auto begin = static_cast<uint32_t>(file.size());
    file += Bytes(uint32_t{0x04034b50}) + head + std::string(12, 0) + Bytes(name_bytes) +
            Bytes(static_cast<uint16_t>(padding.size())) + entry.name + padding + entry.data +
            Bytes(uint32_t{0x08074b50}) + sizes;
    directory += Bytes(uint32_t{0x02014b50}) + Bytes(uint16_t{0}) + head + sizes + Bytes(name_bytes) +
                 std::string(12, 0) + Bytes(begin) + entry.name;
  }
  const auto count = static_cast<uint16_t>(entries.size());
  return file + directory + Bytes(uint32_t{0x06054b50}) + Bytes(uint32_t{0}) + Bytes(count) + Bytes(count) +
         Bytes(static_cast<uint32_t>(directory.size())) + Bytes(static_cast<uint32_t>(file.size())) +
         Bytes(uint16_t{0});
}

// A pickle of a tensor of one dimension.
struct TorchPickle {
  std::string storage = "FloatStorage", key = "0", place = "cpu";
  uint16_t stored = 0, offset = 0, size = 0, stride = 1;
  std::string function = "_rebuild_tensor_v2";

  std::string Text() const {
    const auto text = [](const std::string& of) {
      return "X" + Bytes(static_cast<uint32_t>(of.size())) + of;
    };
    const auto number = [](uint16_t of) { return "M" + Bytes(of); };
    const auto note = [](char number) { return std::string("q") + number; };
    return "\x80\x02"
           "ctorch._utils\n" +
           function + "\n" + note(0) + "((" + text("storage") + note(1) + "ctorch\n" + storage + "\n" +
           note(2) + text(key) + note(3) + text(place) + note(4) + number(stored) + "t" + note(5) + "Q" +
           number(offset) + number(size) + "\x85" + note(6) + number(stride) + "\x85" + note(7) +
           "\x89"
           "ccollections\nOrderedDict\n" +
           note(8) + ")R" + note(9) + "t" + note(10) + "R" + note(11) + ".";
  }
};

inline std::string TorchFile(const TorchPickle& pickle, const std::string& numbers) {
  return ZipFile({{"archive/data.pkl", pickle.Text()},
                  {"archive/byteorder", "little"},
                  {"archive/data/0", numbers},
                  {"archive/version", "3\n"}});
}

inline std::string TorchFile(const std::vector<float>& numbers) {
  TorchPickle pickle;
  pickle.stored = pickle.size = static_cast<uint16_t>(numbers.size());
  return TorchFile(pickle, NumbersOf(numbers));
}

// A GGUF file of 32-bit integers, whose type has the number `type`: 18 in files of PowerInfer.
inline std::string IntegerFile(const std::vector<std::pair<std::string, std::vector<int32_t>>>& tensors,
                               uint32_t type = 18) {
  GgufWriter writer(/*powerinfer=*/true);
  writer.Set("general.architecture", std::string("generic.gpu_index"));
  for (const auto& [name, numbers] : tensors) {
    const std::string text = NumbersOf(numbers);
    writer.AddTensor(name, TensorType::kF32, {numbers.size()},
                     std::vector<uint8_t>(text.begin(), text.end()));
  }
  const std::vector<uint8_t> bytes = writer.Serialize().value();
  std::string file(bytes.begin(), bytes.end());
  for (const auto& [name, numbers] : tensors) {
    // Behind the name: dimensions, one size, the type.
    const size_t at = file.find(Bytes(uint64_t{name.size()}) + name) + sizeof(uint64_t) + name.size();
    std::memcpy(file.data() + at + sizeof(uint32_t) + sizeof(uint64_t), &type, sizeof(type));
  }
  return file;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_SUPPORT_POWERINFER_FILES_H_
