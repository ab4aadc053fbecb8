import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { Route, Router, Switch } from 'wouter'
import { Empty } from './components/panel'
import { FeedProvider } from './feed/react'
import { StatsProvider } from './feed/stats'
import { basePath, HttpProblem } from './http/client'
import { ClientsPage } from './pages/clients'
import { ConsolePage } from './pages/console'
import { OverviewPage } from './pages/overview'
import { PubSubPage } from './pages/pubsub'
import { QueuePage } from './pages/queue'
import { QueuesPage } from './pages/queues'
import { ServerPage } from './pages/server'
import { SlowLogPage } from './pages/slowlog'
import { StorePage } from './pages/store'
import { StreamPage } from './pages/stream'
import { StreamsPage } from './pages/streams'
import { SessionGate } from './session'
import { Shell } from './shell'

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      // The server's refusals are answers; only a lost connection is worth another try.
      retry: (failures, error) => !(error instanceof HttpProblem) && failures < 2,
    },
  },
})

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <Router base={basePath}>
        <SessionGate>
          <FeedProvider>
            <StatsProvider>
              <Shell>
                <Switch>
                  <Route path="/" component={OverviewPage} />
                  <Route path="/store" component={StorePage} />
                  <Route path="/pubsub" component={PubSubPage} />
                  <Route path="/queues" component={QueuesPage} />
                  <Route path="/queue" component={QueuePage} />
                  <Route path="/streams" component={StreamsPage} />
                  <Route path="/stream" component={StreamPage} />
                  <Route path="/clients" component={ClientsPage} />
                  <Route path="/slowlog" component={SlowLogPage} />
                  <Route path="/server" component={ServerPage} />
                  <Route path="/console" component={ConsolePage} />
                  <Route>
                    <Empty title="There is no such page">
                      The address may be of an older version of the dashboard.
                    </Empty>
                  </Route>
                </Switch>
              </Shell>
            </StatsProvider>
          </FeedProvider>
        </SessionGate>
      </Router>
    </QueryClientProvider>
  )
}
