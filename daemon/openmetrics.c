#include "openmetrics.h"

int openmetrics_put_family(struct buffer *buffer, const char *name, const char *type,
			   const char *help)
{
	return buffer_printf(buffer, "# TYPE portscand_%s %s\n# HELP portscand_%s %s\n", name, type,
			     name, help);
}

int openmetrics_put_sample(struct buffer *buffer, const char *name, const char *label,
			   const char *label_value, uint64_t value)
{
	return buffer_printf(buffer, "portscand_%s{%s=\"%s\"} %llu\n", name, label, label_value,
			     (unsigned long long)value);
}

int openmetrics_put_counter(struct buffer *buffer, const char *name, const char *help,
			    uint64_t value)
{
	int r = openmetrics_put_family(buffer, name, "counter", help);

	return r < 0 ? r
		     : buffer_printf(buffer, "portscand_%s_total %llu\n", name,
				     (unsigned long long)value);
}

int openmetrics_put_gauge(struct buffer *buffer, const char *name, const char *help, double value)
{
	int r = openmetrics_put_family(buffer, name, "gauge", help);

	return r < 0 ? r : buffer_printf(buffer, "portscand_%s %.15g\n", name, value);
}
