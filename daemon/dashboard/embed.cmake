# Makes a source with the page's files as bytes: cmake -D FOLDER=page/built -D OUT=page_files.cc -P embed.cmake
set(path_index.html "/")
set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")
set(arrays "")
set(rows "")
foreach(name index.html app.js app.css icon.svg)
  set(path "/dashboard/${name}")
  if(DEFINED path_${name})
    set(path ${path_${name}})
  endif()
  string(REGEX REPLACE ".*\\." "" extension ${name})
  file(READ ${FOLDER}/${name} bytes HEX)
  file(SHA256 ${FOLDER}/${name} digest)
  string(SUBSTRING ${digest} 0 16 digest)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(MAKE_C_IDENTIFIER ${name} identifier)
  string(APPEND arrays "constexpr unsigned char k_${identifier}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${path}\", \"${type_${extension}}\", \"\\\"${digest}\\\"\", Bytes(k_${identifier})},\n")
endforeach()
file(WRITE ${OUT}.new "// Made by embed.cmake.
#include \"daemon/dashboard/page_files.h\"

#include <cstddef>

namespace hearth {
namespace {

${arrays}
template <size_t kBytes>
absl::string_view Bytes(const unsigned char (&bytes)[kBytes]) {
  return {reinterpret_cast<const char*>(bytes), kBytes};
}

}  // namespace

const PageFile* FindPageFile(absl::string_view path) {
  static const PageFile kFiles[] = {
${rows}  };
  for (const PageFile& file : kFiles) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace hearth
")
file(RENAME ${OUT}.new ${OUT})
