/* openmetrics.h: the OpenMetrics text format; names get "portscand_" in front. All: 0 or -ENOMEM. */

#pragma once

#include "buffer.h"

#include <stdint.h>

/* What stands before the samples of a family. */
int openmetrics_put_family(struct buffer *buffer, const char *name, const char *type,
			   const char *help);

/* A sample with a label; that of a counter is named after its family and "_total". */
int openmetrics_put_sample(struct buffer *buffer, const char *name, const char *label,
			   const char *label_value, uint64_t value);

/* Families of one sample without a label. */
int openmetrics_put_counter(struct buffer *buffer, const char *name, const char *help,
			    uint64_t value);
int openmetrics_put_gauge(struct buffer *buffer, const char *name, const char *help, double value);
