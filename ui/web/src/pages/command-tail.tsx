import { useCallback, useState } from 'react'
import { useAddress } from '../address'
import type { SeenCommand } from '../api/types'
import { DetailPanel } from '../components/detail-panel'
import { Empty, Facts } from '../components/panel'
import { SearchField } from '../components/search-field'
import { TailPanel } from '../components/tail-panel'
import type { Column } from '../components/virtual-table'
import { oneLine } from '../format/payload'
import { clock, moment } from '../format/time'
import { useEscape } from '../keys'

const columns: Column<SeenCommand>[] = [
  {
    id: 'time',
    title: 'Time',
    width: '96px',
    cell: (command) => <time className="number muted">{clock(command.at)}</time>,
  },
  {
    id: 'command',
    title: 'Command',
    width: 'minmax(160px, 3fr)',
    cell: ({ args: [name = '', ...words] }) => (
      <code>
        <b>{name.toUpperCase()}</b> {oneLine(words.join(' '))}
      </code>
    ),
  },
  {
    id: 'client',
    title: 'Client',
    width: 'minmax(120px, 1fr)',
    cell: (command) => command.name || <span className="number muted">{command.addr}</span>,
  },
]

/** What clients send, as it comes: the answer to "who does that?". */
export function CommandTail() {
  const { get } = useAddress()
  const filter = get('filter') ?? ''
  const [open, setOpen] = useState<SeenCommand | null>(null)
  const close = useCallback(() => setOpen(null), [])
  useEscape(open !== null, close)
  return (
    <div className="split" data-open={open !== null}>
      <TailPanel<SeenCommand>
        topic="tail:commands"
        query={{ filter }}
        label="Live commands"
        search={<SearchField label="Find by command, name or address" />}
        columns={columns}
        rowKey={(command) => `${command.at} ${command.client}`}
        onOpen={setOpen}
        empty={
          <Empty title={filter ? `Waiting for commands with "${filter}"` : 'Waiting for commands'}>
            Every command of a client appears here, but for passwords and what the dashboard itself does. A flood is
            sampled and counted.
          </Empty>
        }
      />
      {open && (
        <DetailPanel
          label="Command"
          title={<code>{open.args[0]?.toUpperCase()}</code>}
          what="the command"
          onClose={close}
        >
          {open.args.length > 1 && (
            <ol className="words">
              {open.args.slice(1).map((word, index) => (
                <li key={index}>
                  <code>{word}</code>
                </li>
              ))}
            </ol>
          )}
          <Facts
            items={[
              ['Client', `${open.name ? `${open.name}, ` : ''}${open.client}, ${open.addr}`],
              ['Seen', moment(open.at)],
            ]}
          />
        </DetailPanel>
      )}
    </div>
  )
}
