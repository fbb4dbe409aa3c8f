/* export.h - what a public declaration carries: visibility, result checking, C linkage. */
#ifndef EPX_EXPORT_H
#define EPX_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define EPX_API __attribute__((visibility("default")))
#define EPX_NODISCARD __attribute__((warn_unused_result))
#define EPX_PRINTF(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))
#else
#define EPX_API
#define EPX_NODISCARD
#define EPX_PRINTF(format_arg, first_arg)
#endif

#ifdef __cplusplus
#define EPX_BEGIN_DECLS extern "C" {
#define EPX_END_DECLS }
#else
#define EPX_BEGIN_DECLS
#define EPX_END_DECLS
#endif

#endif /* EPX_EXPORT_H */
