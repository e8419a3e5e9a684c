/*
 * check.c - flowforge.check_expression: what is wrong with an expression an app registers.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "lang/lang.h"

PG_FUNCTION_INFO_V1(ff_function_check_expression);
