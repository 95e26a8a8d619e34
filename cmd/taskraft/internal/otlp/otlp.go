// Package otlp sends the spans of masters, workers and clients to an OpenTelemetry
// collector, when the standard variables name one.
package otlp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskraft/taskraft/internal/tracing"
)

// The variables that turn tracing on. The exporter and the SDK read the rest of
// OpenTelemetry's variables themselves: headers, certificates, sampler, batches.
const (
	endpointVar       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVar = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	disabledVar       = "OTEL_SDK_DISABLED"
	exporterVar       = "OTEL_TRACES_EXPORTER"
	protocolVar       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocolVar = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// flushLimit is how long the end of a process waits for its last spans to leave.
const flushLimit = time.Second

// Service says whose spans they are. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
// take precedence.
type Service struct{ Name, Instance, Version string }

// Provider is a tracer provider that exports, or, when nil, none.
type Provider struct{ sdk *sdktrace.TracerProvider }

// Start returns a provider when env names an endpoint, and nil otherwise. The
// endpoint need not answer yet. Close it after use.
func Start(ctx context.Context, env func(string) string, s Service, log *slog.Logger) (*Provider, error) {
	endpoint := cmp.Or(env(tracesEndpointVar), env(endpointVar))
	if endpoint == "" || strings.EqualFold(env(disabledVar), "true") || env(exporterVar) == "none" {
		return nil, nil
	}
	if p := cmp.Or(env(tracesProtocolVar), env(protocolVar), "grpc"); p != "grpc" {
		return nil, fmt.Errorf("%s: got %q, want grpc, the only protocol that spans are exported with", protocolVar, p)
	}
	if !strings.Contains(endpoint, "://") {
		return nil, fmt.Errorf("%s: got %q, want http://HOST:PORT or https://HOST:PORT", endpointVar, endpoint)
	}
	otel.SetErrorHandler(newComplaints(log))
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", endpointVar, err)
	}
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", s.Name), attribute.String("service.instance.id", s.Instance),
			attribute.String("service.version", s.Version),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		log.Warn("a part of OTEL_RESOURCE_ATTRIBUTES is not used", "err", err)
	}
	return &Provider{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithResource(res), sdktrace.WithIDGenerator(tracing.IDs{}),
	)}, nil
}

// Tracer is the provider for OpenTelemetry's API, a nil interface if there is none.
func (p *Provider) Tracer() trace.TracerProvider {
	if p == nil {
		return nil
	}
	return p.sdk
}

// Close sends what was not sent yet, for at most a second. What fails is logged
// as ever.
func (p *Provider) Close() {
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := p.sdk.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// complaints logs what goes wrong with the export, at most once a minute: work does
// not depend on it.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64 // Unix seconds
}

func newComplaints(log *slog.Logger) *complaints { return &complaints{log: log} }

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	now := time.Now().Unix()
	if last := c.last.Load(); now-last >= 60 && c.last.CompareAndSwap(last, now) {
		c.log.Warn("spans are not exported", "err", err)
	}
}
