#ifndef HEARTH_TESTS_SUPPORT_SANITIZERS_H_
#define HEARTH_TESTS_SUPPORT_SANITIZERS_H_

// HEARTH_SANITIZED is 1 where AddressSanitizer or ThreadSanitizer watches (which slow things down and keep
// memory that was freed), else 0.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEARTH_SANITIZED 1  // gcc's words for it
#elif defined(__has_feature)
#define HEARTH_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define HEARTH_SANITIZED 0
#endif

#endif  // HEARTH_TESTS_SUPPORT_SANITIZERS_H_
