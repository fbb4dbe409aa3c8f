/* pack.c - a gather of whole rows. Every index is checked before the first byte is written. */
#include <string.h>

#include <epx/kernels.h>

#include "core/fail.h"
#include "core/size.h"

epx_status epx_kernel_pack(const void *rows, uint64_t num_rows, size_t row_bytes,
                           const uint32_t *row_of, uint64_t count, void *out)
{
    const unsigned char *from = rows;
    unsigned char *to = out;
    size_t bytes;

    if (row_bytes == 0)
        return epx_fail(EPX_ERR_INVALID, "pack: rows of 0 bytes");
    if (!epx_mul_size(num_rows, row_bytes, &bytes) || !epx_mul_size(count, row_bytes, &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "pack: %llu of %llu rows of %zu bytes do not fit",
                        (unsigned long long)count, (unsigned long long)num_rows, row_bytes);
    if (count > 0 && (rows == NULL || row_of == NULL || out == NULL))
        return epx_fail(EPX_ERR_INVALID, "pack: %s is NULL with %llu rows to copy",
                        rows == NULL ? "rows" : (row_of == NULL ? "row_of" : "out"),
                        (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++)
        if (row_of[i] >= num_rows)
            return epx_fail(EPX_ERR_INVALID, "pack: row_of[%llu] is %u, there are %llu rows",
                            (unsigned long long)i, row_of[i], (unsigned long long)num_rows);
    for (uint64_t i = 0; i < count; i++)
        memcpy(to + i * row_bytes, from + row_of[i] * row_bytes, row_bytes);
    return EPX_OK;
}
