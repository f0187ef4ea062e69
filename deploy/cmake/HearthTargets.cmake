# Compiler settings and the one function with which every folder declares its library.

add_library(hearth_options INTERFACE)
target_compile_options(hearth_options INTERFACE -Wall -Wextra -Wno-unused-parameter -fno-math-errno -ffp-contract=off)
target_include_directories(hearth_options INTERFACE ${CMAKE_SOURCE_DIR})
if(HEARTH_SANITIZE)
  target_compile_options(hearth_options INTERFACE -fsanitize=${HEARTH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(hearth_options INTERFACE -fsanitize=${HEARTH_SANITIZE})
  # Kernels are compiled for one instruction set in place of two: the one that is always there has to be AVX2 then.
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(hearth_options INTERFACE -mavx2 -mfma -mf16c -mbmi -mbmi2 -maes -mpclmul)
  endif()
  find_program(HEARTH_LLD ld.lld)
  if(HEARTH_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_link_options(hearth_options INTERFACE -fuse-ld=lld)
  endif()
endif()

# hearth_library(NAME SOURCES a.cc b.cc DEPENDS other targets): a static library of one folder. What it may
# include follows from DEPENDS alone; tests/structure_test checks the folders against DESIGN's arrows.
function(hearth_library name)
  cmake_parse_arguments(LIB "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${LIB_SOURCES})
  target_link_libraries(${name} PUBLIC hearth_options ${LIB_DEPENDS} PRIVATE ${LIB_PRIVATE_DEPENDS})
endfunction()

# What a test that may start daemons needs around it.
set(HEARTH_TEST_ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")

# The target LABEL_tests builds the programs of the tests of a label.
function(hearth_label_program name)
  foreach(label IN LISTS ARGN)
    if(NOT TARGET ${label}_tests)
      add_custom_target(${label}_tests)
    endif()
    add_dependencies(${label}_tests ${name})
  endforeach()
endfunction()

# What nearly all tests include, read once for all of them.
function(hearth_precompile name)
  if(NOT CMAKE_UNITY_BUILD)  # there every file is to include what it uses
    return()
  endif()
  if(NOT TARGET hearth_test_headers)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_headers.cc CONTENT "int main() { return 0; }\n")
    add_executable(hearth_test_headers EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/test_headers.cc)  # compiled as tests are
    target_link_libraries(hearth_test_headers PRIVATE hearth_options GTest::gmock GTest::gtest)
    target_compile_options(hearth_test_headers PRIVATE $<$<CONFIG:Release>:-O1>)
    target_precompile_headers(hearth_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h> <absl/status/statusor.h>
      <absl/strings/str_cat.h> <absl/strings/str_split.h> <absl/types/span.h> <algorithm> <filesystem> <functional>
      <map> <memory> <optional> <string> <thread> <vector>)
  endif()
  target_precompile_headers(${name} REUSE_FROM hearth_test_headers)
endfunction()

# hearth_start_hosts(TESTS...): they start daemons, which notice whom nobody hears of: others' load would be taken for
# that. Under sanitizers, where nothing is said of how long streams pause, one of them runs at a time, others beside it,
# the long ones first.
function(hearth_start_hosts)
  if(HEARTH_SANITIZE)
    set_tests_properties(${ARGN} PROPERTIES RESOURCE_LOCK hosts COST 100)
  else()
    set_tests_properties(${ARGN} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()

# hearth_test(NAME SOURCES a_test.cc DEPENDS targets [LABELS unit]): a GoogleTest program, one ctest entry.
function(hearth_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_DEPENDS} GTest::gmock GTest::gtest_main)
  hearth_precompile(${name})
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)  # what is tested is optimised, and that is enough
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT TEST_LABELS)
    set(TEST_LABELS unit)
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABELS}" TIMEOUT ${TEST_TIMEOUT}
    ENVIRONMENT "${HEARTH_TEST_ENVIRONMENT}")
  if("cluster" IN_LIST TEST_LABELS)
    hearth_start_hosts(${name})
  endif()
  hearth_label_program(${name} ${TEST_LABELS})
endfunction()
