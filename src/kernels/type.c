/* type.c - sizes of element types. */
#include <epx/exchange.h>

size_t epx_type_size(epx_type type)
{
    switch (type) {
    case EPX_TYPE_BF16:
    case EPX_TYPE_F16:
        return 2;
    case EPX_TYPE_F32:
        return 4;
    }
    return 0;
}
